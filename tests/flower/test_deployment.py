"""A SuperLink and two SuperNodes as processes of their own, and Flower's simulation: the same weights."""

import re
import threading
import time

import psutil
import pytest

pytest.importorskip(
    "flwr",
    reason="expected: Flower holds packages back, so it is not among the pins; run `make test-flower`",
)

from tests.support.flower.deployment import Deployment, Relay, until
from tests.support.flower.keys import certificates, node_key
from tests.support.flower.runs import SMALL, farthest, language, own, same_language_run, told

pytestmark = [pytest.mark.timeout(600), pytest.mark.fixed_seed]
METHODS = ("rolora", "ffa", "fedavg", "fedex")
LARGE = {**SMALL, "clients": 2, "rounds": 2, "hidden": 8192, "rank": 64, "evaluate_every": 2}
UP = {}
"""Method to the bytes that went up on the wire."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    with Deployment(tmp_path_factory.mktemp("flower")) as flower:
        flower.relays = [Relay(flower.port) for _ in range(2)]
        for place, relay in enumerate(flower.relays):
            flower.node(place, via=relay.port)
            flower.stack.callback(relay.close)
        yield flower


@pytest.mark.parametrize("method", METHODS)
def test_a_deployment_gives_the_laboratorys_weights(method, deployed):
    values, out = {**LARGE, "method": method}, deployed.folder / method
    before = [relay.up for relay in deployed.relays]
    log = deployed.run(told(values), out=out)
    UP[method] = sum(relay.up for relay in deployed.relays) - sum(before)
    assert "round 2 of 2" in log
    assert farthest(out, values) < 1e-6
    assert deployed.outside.calls == []  # no telemetry, no update check, no package


def test_the_wire_carries_what_traffic_predicts(deployed):
    for method in METHODS:
        payload = 8 * own({**LARGE, "method": method}).rows[-1]["numbers_up"]
        assert payload < UP[method] < 1.05 * payload
    assert UP["rolora"] / UP["fedavg"] == pytest.approx(0.5, rel=0.05)


def test_a_killed_node_ends_the_run_clearly_and_the_run_can_be_resumed(deployed):
    values, out = {**SMALL, "rounds": 5, "evaluate_every": 5}, deployed.folder / "killed"
    said = []
    run = threading.Thread(target=lambda: said.append(deployed.run(told(values), out=out)))
    run.start()
    until((out / "checkpoint" / "round-000002").exists, 300, "two rounds")
    deployed.kill(1)
    run.join()
    assert re.search(r"round [34]: partition 1 \(SuperNode \d+\)", said[0])
    assert "the rounds before are kept: mend it and run again with resume=true" in said[0]
    assert not (out / "weights.safetensors").exists()
    deployed.node(1)
    log = deployed.run(told(values), out=out, resume=True)
    assert "round 1 of 5" not in log
    assert "round 5 of 5" in log
    assert farthest(out, values) < 1e-6


def test_a_wrong_method_is_the_last_word_of_the_log(deployed):
    log = deployed.run("method='rolorra'", out=deployed.folder / "wrong")
    assert "got 'rolorra'; did you mean 'rolora'?" in log


def test_an_unreachable_superlink_is_told_in_seconds(deployed, tmp_path):
    config = deployed.folder / "flwr" / "config.toml"
    there = config.read_text()
    try:
        config.write_text(there.replace(f":{deployed.port}", ":9"))
        began = time.monotonic()
        done = deployed.flwr("run", ".", seconds=60)
        assert time.monotonic() - began < 40
    finally:
        config.write_text(there)
    assert done.returncode != 0
    assert "Connection to the SuperLink is unavailable" in done.stdout + done.stderr
    node = deployed.node(5, via=9, more=("--max-retries", 2))
    assert node.wait(60) != 0
    assert "SuperLink" in deployed.log("node5")


def test_an_unknown_node_is_refused_where_nodes_prove_who_they_are(tmp_path):
    keys = certificates(tmp_path / "keys")
    with Deployment(tmp_path / "flower", tls=keys) as flower:
        for place in (0, 1):
            public = node_key(keys / f"node{place}").with_name(f"node{place}.pub")
            assert flower.flwr("supernode", "register", public, "here").returncode == 0
        unknown = flower.node(2, key=node_key(keys / "unknown"))
        nameless = flower.node(3)
        for place in (0, 1):
            flower.node(place, key=keys / f"node{place}")
        out = tmp_path / "out"
        values = {**SMALL, "rounds": 1, "clients": 2, "evaluate_every": 1}
        flower.run(told(values), out=out)
        assert farthest(out, values) < 1e-6
        for process, name in ((unknown, "node2"), (nameless, "node3")):
            assert process.wait(60) != 0, flower.log(name)
            assert "Failed to activate SuperNode" in flower.log(name) or name == "node3"
            assert "SuperNode ID" not in flower.log(name)
        assert flower.outside.calls == []


@pytest.mark.timeout(1800)
def test_the_simulation_gives_the_laboratories_weights(tmp_path, roberta, data_dir):
    with Deployment(tmp_path / "flower", simulation=2) as flower:
        for method in METHODS:
            values, out = {**SMALL, "method": method}, tmp_path / method
            flower.run(told(values), out=out)
            assert farthest(out, values) < 1e-6
        values, out = language(roberta), tmp_path / "language"
        flower.run(told(values), out=out, laboratory="llm", data_dir=data_dir)
        same_language_run(out, values, data_dir)
        # Ray asks its own machine which cloud it is in; nothing else is asked of anybody.
        asked = [call.split()[1] for call in flower.outside.calls]
        assert all(
            b"/169.254.169.254/" in one or b"/metadata.google.internal/" in one for one in asked
        )


def test_nothing_would_be_left_unseen(tmp_path):
    """The check itself: a process that outlives its deployment is found."""
    flower = Deployment(tmp_path / "flower").__enter__()
    stays = flower.start("stays", "python", "-c", "import time; time.sleep(60)")
    assert stays.pid in [one.pid for one in flower.left()]
    flower.__exit__()
    assert not psutil.pid_exists(stays.pid)
