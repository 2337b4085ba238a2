"""The wheel in an empty environment: all of ours is in it, and without extras it works or names them."""

import json
import os
import shutil
import subprocess
import sys
import venv
from email import message_from_string
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.test_import_floors import MAY_IMPORT, ROOT

SAID = (
    ("--version", 0, "rolora-verify {version}"),
    ("verify plateau", 0, "1 derived"),
    ("verify mnist-ranking", 0, "1 true under an added assumption"),
    ("verify study-replay", 3, "pip install 'rolora-verify[nonlinear]'"),
    ("linear run --d 20 --samples 50 --rounds 3 --trials 2", 0, "angle"),
    ("nonlinear run --dataset digits --rounds 1", 2, "pip install 'rolora-verify[nonlinear]'"),
    ("nonlinear study", 2, "the MNIST files were not found"),
    ("sweep x.toml", 2, "pip install 'rolora-verify[sweep]'"),
    ("llm presets --json", 0, "glue-rte-50-rolora"),
    ("llm run --model x --task sst2", 2, "pip install 'rolora-verify[llm]'"),
)
"""Words after `rolora`, status, and what is said where no extra is installed."""

ORIGINS = """
import importlib, json, sys
from importlib.metadata import distribution, packages_distributions
homes = {name: importlib.import_module(name).__file__ for name in sys.argv[1:]}
print(json.dumps([homes, packages_distributions(), [str(f) for f in distribution("rolora-verify").files]]))
"""


def run(*words, cwd, check=True, **more):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | more
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done


def without_extras(requirements):
    """The installed distributions that these need, and what they need in turn."""
    found, waiting = {}, list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in found or not (
            requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ):
            continue
        found[name] = metadata.distribution(requirement.name)
        waiting += found[name].requires or ()
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, since a build leaves folders behind from which the next one would take files."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in MAY_IMPORT:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel):
    """An interpreter that sees the wheel and what it needs without extras: the same files, linked."""
    home = wheel.parent / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", "--no-compile", wheel, cwd=wheel.parent)
    (site,) = home.glob("lib/python*/site-packages")
    (about,) = site.glob("rolora_verify-*.dist-info/METADATA")
    needs = message_from_string(about.read_text("utf-8")).get_all("Requires-Dist")
    for distribution in without_extras(needs).values():
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(distribution.locate_file(top)).resolve())
    return python


# One test, so that workers side by side do not each build the wheel.
def test_the_wheel_holds_all_and_works_or_names_the_extra(python, tmp_path):
    version = run(python, "-c", "import rolora; print(rolora.__version__)", cwd=tmp_path).stdout
    found = run(python, "-I", "-c", ORIGINS, *MAY_IMPORT, cwd=tmp_path).stdout
    homes, owners, files = json.loads(found)
    site = str(python.parents[1])
    assert {name: path for name, path in homes.items() if not path.startswith(site)} == {}
    assert {name: owners[name] for name in MAY_IMPORT} == {n: ["rolora-verify"] for n in MAY_IMPORT}
    data = {
        str(path.relative_to(ROOT))
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {f"{package}/py.typed" for package in MAY_IMPORT} <= data
    assert data - set(files) == set()
    rolora = python.with_name("rolora")
    for words, status, said in SAID:
        done = run(rolora, *words.split(), cwd=tmp_path, check=False)
        told = " ".join((done.stdout + done.stderr).split())
        assert (done.returncode, said.format(version=version.strip()) in told) == (status, True), (
            words, told,
        )  # fmt: skip
        assert "Traceback" not in told
    # The shell is the one it is called from.
    shown = run("bash", "-c", f"{rolora} --show-completion; exit $?", cwd=tmp_path).stdout
    assert "complete -o default -F _rolora_completion rolora" in shown
    typed = {
        "_ROLORA_COMPLETE": "complete_bash",
        "COMP_WORDS": "rolora nonlinear run --split sh",
        "COMP_CWORD": "4",
    }
    assert run(rolora, cwd=tmp_path, **typed).stdout.strip() == "shards"
    asked = run(python, "-c", "import federation.round", cwd=tmp_path, check=False).stderr
    assert asked.strip().endswith("this needs torch: pip install 'rolora-verify[nonlinear]'")
