"""The floors of the house: imports go down, never up, never between laboratories."""

import ast
import os
import subprocess
import sys
import time
from importlib.util import resolve_name
from pathlib import Path

import pytest

from verification.discovery import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "verification": set(),
    "federated_lora": {"verification"},
    "federation": {"verification", "federated_lora"},
    "theory": {"verification", "federated_lora"},
    "linear_model": {"verification", "federated_lora", "federation", "theory"},
    "nonlinear_model": {"verification", "federated_lora", "federation", "theory"},
    "llm_validation": {"verification", "federated_lora", "federation", "theory"},
}
MAY_IMPORT["rolora"] = set(MAY_IMPORT)
HEAVY = sorted({module for brought in EXTRAS.values() for module in brought})
"""What only extras bring."""
TORCH_FREE = {
    "verification": "statistics evidence",
    "federated_lora": "diagnostics adapter testing",
    "federation": "learning_rates participants partition parts privacy refusals sent",
    "theory": "population.population_map",
    "linear_model": "problem claims",
    "nonlinear_model": "configuration study.analysis",
    "llm_validation": "config claims.decision paper.presets tasks.registry",
    "rolora": "cli verify.registry commands.nonlinear commands.llm",
}
"""Parts of each package that load without an extra."""
WITHOUT_TORCH = ("verification", "federated_lora", "theory", "linear_model")


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported(source, module, is_package=False):
    """Full names of everything a module imports, at the top or inside a function, by any means."""
    names = set()
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = resolve_name("." * node.level + base, package)
            names.add(base)
            names |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            target = node.args[0] if node.args else None
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                names.add(target.value)
            elif isinstance(target, ast.JoinedStr) and isinstance(target.values[0], ast.Constant):
                names.add(str(target.values[0].value).rstrip("."))
    return names


def called(node):
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def graph(package):
    for path in modules(package):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        yield path.relative_to(ROOT), imported(path.read_text(encoding="utf-8"), name, is_package)


def forbidden(package, tops):
    """What modules of a package import of these."""
    files = list(graph(package))
    assert files, f"{package} holds no modules"
    return [
        f"{path} imports {name}"
        for path, names in files
        for name in sorted(names)
        if name.split(".")[0] in tops
    ]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_down_the_floors_only(package):
    above = set(MAY_IMPORT) - MAY_IMPORT[package] - {package} | {"tests", "benchmarks"}
    assert forbidden(package, above) == []


ONLY_WHEN_ASKED = {
    "federated_lora/testing/settings.py imports torch",
    "federated_lora/testing/flower.py imports flwr",
    "federated_lora/testing/flower.py imports flwr.app",
    "federated_lora/testing/flower.py imports flwr.supercore.task_identity",
    "federated_lora/testing/flower.py imports flwr.supercore.task_identity.TaskIdentity",
    "verification/sweep/cluster.py imports distributed",
    "verification/sweep/cluster.py imports distributed.Client",
    "verification/sweep/cluster.py imports distributed.KilledWorker",
}
"""The conformance suite makes torch tensors, and drives Flower, inside functions; so does a sweep Dask."""


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_the_lower_packages_never_import_torch(package):
    assert [line for line in forbidden(package, HEAVY) if line not in ONLY_WHEN_ASKED] == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_module_is_called_utils(package):
    vague = {"utils", "util", "helpers", "misc", "common"}
    assert [
        p for p in modules(package) if vague & set(p.relative_to(ROOT).with_suffix("").parts)
    ] == []


def test_the_reader_sees_every_way_to_import():
    source = """
import linear_model.run as r
def f():
    from theory import angle
    from . import sibling
    from ..up import x
    import_module("torch.nn")
    importlib.import_module(f"rolora.{name}")
"""
    found = "linear_model.run theory.angle package.deep.sibling package.up.x torch.nn rolora"
    assert set(found.split()) <= imported(source, "package.deep.module")


def fresh(code):
    """What code prints in an interpreter that has imported nothing of ours, in the project's root."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("package", TORCH_FREE)
def test_a_package_loads_alone_and_these_parts_without_torch(package):
    """Without importing anything it may not: seen in the interpreter, not only in the text."""
    parts = ", ".join(f"{package}.{part}" for part in TORCH_FREE[package].split())
    loaded, heavy = fresh(
        f"import sys, {package}\n"
        f"print(sorted({{m.split('.')[0] for m in sys.modules}} & {set(MAY_IMPORT)!r}))\n"
        f"import {parts}\nprint([m for m in {HEAVY} if m in sys.modules])"
    ).splitlines()
    assert set(ast.literal_eval(loaded)) <= MAY_IMPORT[package] | {package}
    assert heavy == "[]"


@pytest.mark.parametrize("module", ["rolora", "rolora.cli"])
def test_the_front_desk_imports_in_a_blink(module):
    """Best of three: a help page must not wait for numpy, torch or matplotlib."""
    late = ("numpy", "scipy", "sympy", "matplotlib", "torch", "transformers", "joblib", "jinja2")
    code = (
        f"import sys, time; start = time.perf_counter(); import {module}\n"
        "print(time.perf_counter() - start)\n"
        f"print([m for m in {late} if m in sys.modules])"
    )
    seconds = []
    for _ in range(3):
        took, heavy = fresh(code).splitlines()
        assert heavy == "[]"
        seconds.append(float(took))
        if seconds[-1] < 0.3 or module != "rolora":
            return
        time.sleep(0.5)
    assert min(seconds) < 0.3


def test_listing_and_checking_the_linear_theory_never_loads_torch(tmp_path):
    out = f"--quiet --out {tmp_path}"
    code = f"""
import sys
from rolora import cli
for words in ("claims", "verify population-map {out}", "linear run --trials 2 --rounds 2 {out}"):
    try:
        cli.main(words.split())
    except SystemExit as stop:
        assert not stop.code, stop.code
print([m for m in ("torch", "transformers") if m in sys.modules])
"""
    assert fresh(code).splitlines()[-1] == "[]"
