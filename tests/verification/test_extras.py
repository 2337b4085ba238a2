"""A missing package of an extra is named with its extra; any other failure stays as it is."""

import pytest

from verification import extras


@pytest.mark.parametrize(
    ("module", "raised"),
    [("torch.nn", extras.MissingExtraError), ("sklearn", ValueError), ("elsewhere", ImportError)],
)
def test_only_an_extras_package_is_named(module, raised):
    with pytest.raises(raised) as told, extras.named():
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert ("pip install 'rolora-verify[nonlinear]'" in str(told.value)) == (module != "elsewhere")
