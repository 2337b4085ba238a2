"""The guide and its compose file say what Flower understands, and switch on what they promise."""

import json
import re
import shutil
import subprocess
import tomllib
import zipfile
from functools import cache
from io import BytesIO

import pytest

pytest.importorskip(
    "flwr",
    reason="expected: Flower holds packages back, so it is not among the pins; run `make test-flower`",
)

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.flower.deployment import BIN, QUIET, ROOT
from tests.support.flower.grid import run_config

GUIDE = (ROOT / "docs/how-to/flower.md").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "docs/examples/flower/compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
SECURE = {
    "flower-superlink": {
        "--ssl-ca-certfile", "--ssl-certfile", "--ssl-keyfile", "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
    },
    "flower-supernode": {"--root-certificates", "--auth-supernode-private-key"},
}  # fmt: skip


@cache
def known(command):
    done = subprocess.run(
        [BIN / command, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    return set(re.findall(r"--[a-z][a-z-]+", done.stdout))


@pytest.mark.parametrize("command", SECURE)
def test_every_option_is_one_that_flower_has(command, monkeypatch, tmp_path):
    for name, value in {**QUIET, "FLWR_HOME": str(tmp_path), "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    lines = re.sub(r"\\\n", " ", GUIDE).splitlines()
    written = [
        set(re.findall(r"--[a-z][a-z-]+", line)) for line in lines if line.startswith(command)
    ]
    commands = [one["command"] for one in SERVICES.values() if one["command"][0] == command]
    told = [{word.partition("=")[0] for word in words[1:]} for words in commands]
    assert written
    assert told
    for options in (*written, *told):
        assert SECURE[command] <= options <= known(command)
        assert "--insecure" not in options


def test_compose_starts_as_many_nodes_as_it_has_partitions_and_keeps_them_quiet():
    nodes = [one["command"] for one in SERVICES.values() if one["command"][0] == "flower-supernode"]
    told = [next(w for w in words if "--node-config" in w).partition("=")[2] for words in nodes]
    assert told == [
        f"partition-id={place} num-partitions={len(nodes)}" for place in range(len(nodes))
    ]
    for one in SERVICES.values():
        quiet = {
            k: v for k, v in QUIET.items() if k.startswith(("FLWR_DISABLE", "FLWR_TEL", "RAY"))
        }
        assert quiet.items() <= one["environment"].items()
        assert not any(".key" in place and "ca." in place for place in one["volumes"])
    for name in (n for n in QUIET if n.startswith(("FLWR_DISABLE", "FLWR_TEL", "RAY"))):
        assert f"{name}={QUIET[name]}" in GUIDE


def test_no_image_holds_a_key():
    """`COPY . .` takes what .dockerignore lets through: what is installed, and nothing beside it."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert lines[0] == "*"
    through = {line[1:] for line in lines[1:] if line.startswith("!")}
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = told["tool"]["setuptools"]["packages"]["find"]["include"]
    files = {"pyproject.toml", told["project"]["readme"], *told["project"]["license-files"]}
    assert through == files | {"requirements"} | {name.removesuffix("*") for name in packages}
    kept = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert "/docs/examples/flower/keys/" in kept


def test_the_guide_tells_every_setting_of_the_app():
    rows = re.findall(r"^\| (`[^|]*) \|", GUIDE, re.MULTILINE)
    assert sorted(re.findall(r"`([a-z-]+)`", " ".join(rows))) == sorted(run_config())


@pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("ssh-keygen")),
    reason="expected: no openssl or no ssh-keygen on this machine",
)
def test_the_guides_certificates_and_keys_are_what_flower_takes(tmp_path):
    (block,) = (one for one in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) if "openssl" in one)
    done = subprocess.run(
        ["bash", "-euc", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    authority, server = (
        x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        for name in ("ca.crt", "server.pem")
    )
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["server.example", "localhost"]
    from flwr.cli.supernode.register import try_load_public_key
    from flwr.supercore.primitives.asymmetric import bytes_to_public_key, uses_nist_ec_curve

    public = bytes_to_public_key(try_load_public_key(tmp_path / "node0.pub"))
    assert uses_nist_ec_curve(public)
    assert isinstance(public.curve, ec.SECP384R1)


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_what_flwr_run_sends_holds_no_code():
    from flwr.cli.build import build_fab_from_disk

    with zipfile.ZipFile(BytesIO(build_fab_from_disk(ROOT))) as bundle:
        assert sorted(bundle.namelist()) == [".info/CONTENT", "LICENSE", "pyproject.toml"]


def test_the_overhead_that_the_guide_states_is_the_measured_one():
    record = json.loads((ROOT / "benchmarks/results/flower.json").read_text("utf-8"))
    (light, heavy), words = record["cases"], " ".join(GUIDE.split())
    assert f"{light['ratio']:,.0f} times a round of" in words
    assert f"{heavy['ratio']:.0f} times one of a second (K = 1000)" in words
