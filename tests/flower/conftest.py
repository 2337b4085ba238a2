import warnings
from importlib.util import find_spec

import pytest

if find_spec("flwr") is not None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Flower's typer asks click for its old names
        import flwr.cli.app
        import flwr.clientapp
        import flwr.serverapp  # noqa: F401
    from tests.llm_validation.conftest import data_dir, roberta  # noqa: F401


@pytest.fixture(scope="session")
def digits():
    from nonlinear_model.data.digits import load

    return load()
