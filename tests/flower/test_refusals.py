"""What a Flower run refuses, each in a sentence, before any work or as soon as it shows."""

import json

import pytest

pytest.importorskip(
    "flwr",
    reason="expected: Flower holds packages back, so it is not among the pins; run `make test-flower`",
)

from federation.flower.post import RefusedError
from rolora.flower import laboratories
from rolora.flower.client_app import app
from rolora.flower.options import read
from rolora.flower.server_app import main
from tests.support.flower.grid import Grid, nodes, run_config
from tests.support.flower.runs import SMALL, told


def refused(tmp_path, configs=None, *, own=None, change=None, **more):
    """What is said of a run that never begins."""
    run = run_config(**{"options": told(SMALL), "out": str(tmp_path / "out"), "wait": 1, **more})
    grid = Grid(app, configs or nodes(2), run, change)
    for node, options in (own or {}).items():
        grid.contexts[node].run_config["options"] = options
    with pytest.raises(ValueError) as error:
        laboratories.serve(grid, read(run), lambda _: None)
    assert [kind for kind, *_ in grid.asked if kind == "train"] == []
    assert "\n" not in str(error.value)
    return str(error.value)


def facts(**changes):
    """A change of what SuperNode 893 says of itself."""

    def change(node, message, reply):
        if node == 893:
            hello = reply.content["hello"]
            hello["facts"] = json.dumps(json.loads(hello["facts"]) | changes)
        return reply

    return change


def test_another_version_is_named_first(tmp_path):
    said = refused(tmp_path, change=facts(**{"rolora-verify": "0.0.1", "rank": 9}))
    assert said == (
        "partition 1 does not fit: rolora-verify is '0.0.1', the server's is '0.1.0'; install the same"
        " version on all machines"
    )


def test_other_data_and_other_settings_are_named(tmp_path):
    said = refused(tmp_path, change=facts(data="abc"))
    assert said.startswith("partition 1 does not fit: its data is 'abc', the server's is '")
    said = refused(tmp_path, own={893: told({**SMALL, "rank": 4})})
    assert said == (
        "partition 1 does not fit: its rank is 4, the server's is 3; start it as the server is"
    )


def test_where_things_are_may_differ(tmp_path):
    places = {node: {**config, "device": "cpu", "threads": 1} for node, config in nodes(2).items()}
    run = run_config(options=told({**SMALL, "rounds": 1}), out=str(tmp_path))
    laboratories.serve(Grid(app, places, run), read(run), lambda _: None)
    assert (tmp_path / "weights.safetensors").exists()


def test_a_dead_node_that_the_superlink_still_lists_is_passed_over(tmp_path):
    from flwr.app import Error, Message
    from flwr.common.constant import ErrorCode

    def dead(node, message, reply):
        gone = Error(code=ErrorCode.NODE_UNAVAILABLE, reason="no heartbeat")
        return Message(gone, reply_to=message) if node == 999 else reply

    run = run_config(options=told({**SMALL, "rounds": 1}), out=str(tmp_path))
    configs = {999: {"partition-id": 0, "num-partitions": 2}, **nodes(2)}
    laboratories.serve(Grid(app, configs, run, dead), read(run), lambda _: None)
    assert (tmp_path / "weights.safetensors").exists()


def test_a_node_that_is_there_and_silent_is_told_from_one_that_is_missing(tmp_path):
    said = refused(tmp_path, change=lambda node, message, reply: reply if node == 893 else None)
    assert (
        "for partition 0 of 2, of 2 that the SuperLink knows, 1 of them silent so far; start"
        in said
    )


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ({5: {"partition-id": 0, "num-partitions": 2}},
         "after 1 s there is no SuperNode for partition 1 of 2, of 1 that the SuperLink knows"),
        ({5: {"partition-id": 0, "num-partitions": 2}, 6: {"partition-id": 0, "num-partitions": 2}},
         "partition-id must be each SuperNode's own, got 0 from 5 and 6"),
        ({5: {"partition-id": 0, "num-partitions": 2}, 6: {"partition-id": 1, "num-partitions": 3}},
         "num-partitions must be the same for all, got 2 and 3"),
        ({5: {}}, "--node-config must tell partition-id and num-partitions"),
        ({5: {"partition-id": 2, "num-partitions": 2}}, "got 2 and 2"),
        ({5: {"partition-id": 0, "num-partitions": 9}}, "num-partitions must be at most the 4 clients"),
    ],
)  # fmt: skip
def test_partitions_that_do_not_fit_are_refused(configs, said, tmp_path):
    assert said in refused(tmp_path, configs)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"options": "method='rolorra'"}, "method must be one of"),
        ({"options": "methd='rolora'"}, "setting"),
        ({"options": "rounds='many'"}, "rounds must be a whole number"),
        ({"options": "rounds 8"}, "options must be TOML such as method='rolora', rounds=8, got 'rounds 8'"),
        ({"options": "repeats=2"}, "repeats must be 1 across machines, got 2"),
        ({"options": "dp-clip=1.0"}, "dp_clip must be left out across machines, got 1"),
        ({"laboratory": "linear"}, "laboratory must be one of nonlinear, llm, got 'linear'"),
        ({"patience": 0}, "patience must be above 0 seconds, got 0"),
    ],
)  # fmt: skip
def test_a_bad_option_is_refused_before_anything_is_sent(more, said, tmp_path):
    run = run_config(**{"out": str(tmp_path / "out"), **more})
    grid = Grid(app, nodes(2), run)
    with pytest.raises(ValueError) as error:
        laboratories.serve(grid, read(run), lambda _: None)
    assert said in str(error.value)
    assert grid.asked == []
    assert not (tmp_path / "out").exists()


def test_options_may_be_lines_of_toml():
    found = read(run_config(options="method = 'ffa'\nrounds = 3\n"))
    assert found.values == {"method": "ffa", "rounds": 3}


def test_the_log_of_a_refused_run_ends_with_its_sentence(tmp_path):
    grid = Grid(app, nodes(2), run_config(laboratory="x"))
    with pytest.raises(ValueError, match="laboratory must be") as error:
        main(grid, grid.contexts[900])
    assert error.value.__suppress_context__


def test_a_client_app_that_breaks_is_named(tmp_path):
    def broken(message, context):
        if message.metadata.dst_node_id != 893:
            return app(message, context)
        raise RuntimeError("no space left")

    run = run_config(options=told(SMALL), out=str(tmp_path))
    with pytest.raises(
        RefusedError, match=r"SuperNode (893|900) failed: .*RuntimeError.*no space left"
    ):
        laboratories.serve(Grid(broken, nodes(2), run), read(run), lambda _: None)
