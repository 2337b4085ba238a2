"""The page on GPUs: its listings run, and its numbers are those of the committed measurement."""

import json

import pytest

from benchmarks import gpu
from docs import build, gpu_page
from llm_validation.config import Config
from tests.support.pages import block

PAGE = "use-a-gpu.md"
REPORT = json.loads(gpu.DEFAULT_OUT.read_text(encoding="utf-8"))


def test_the_options_of_the_page_are_options():
    lines = (line.split("#")[0].split("=") for line in block(PAGE, language="toml").splitlines())
    given = {name.strip(): json.loads(value) for name, value in lines}
    config = Config.read({"model": "m", "task": "sst2", **given})
    assert (config.device, config.products, config.tf32) == ("cuda", "base", True)


def test_the_grid_of_the_page_runs(roberta, data_dir):
    own = f'"{roberta}", "sst2", data_dir="{data_dir}", rounds=1, max_length=48, device="cpu"'
    listing = block(PAGE).replace('"FacebookAI/roberta-large", "mnli"', own)
    names = {}
    exec(listing, names)
    assert [result.server.round for result in names["results"]] == [1] * 4


@pytest.mark.parametrize("model", ["roberta-large", "llama-2-7b"])
def test_the_tables_of_the_page_are_the_measurement(model):
    page = (build.PAGES / "how-to" / PAGE).read_text("utf-8")
    assert gpu_page.speeds(REPORT, model) in page
    assert gpu_page.profiles(REPORT) in page
    assert f"{gpu_page.hours(REPORT):.1f} hours" in page
    assert REPORT["environment"]["device"] in page


def test_the_measurement_is_what_was_asked_for():
    """At local batch 8 and 50 clients: 0.9 of one adapter alone, and three times one by one."""
    cells = [r for r in gpu_page.timed(REPORT) if (r["clients"], r["local_batch"]) == (50, 8)]
    cells = [r for r in cells if r["model"] == "roberta-large"]
    speed = {(r["role"], r["method"], r["trained"]): r["tokens_per_second"] for r in cells}
    for key in (("fedavg", "AB"), ("rolora", "A"), ("rolora", "B")):
        assert speed["all-at-once", *key] >= 0.9 * speed["floor", *key]
    assert speed["all-at-once", "fedavg", "AB"] >= 3.0 * speed["one-by-one", "fedavg", "AB"]
    step = {
        r["role"]: r["per_step"]["kernels"] for r in REPORT["records"] if r["kind"] == "profile"
    }
    assert step["all-at-once"] <= 1.3 * step["floor"]
