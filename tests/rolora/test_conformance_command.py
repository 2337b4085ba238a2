"""`rolora conformance`: ours, a class of somebody's, a bare function; exit status, JSON, JUnit, bad input."""

import json
from xml.etree.ElementTree import parse

import pytest

from tests.support.pages import folder as folder
from tests.support.rolora_helpers import run

MINE = '''
from federated_lora import BOTH, Adapter, FedAvgLoRA, Update, method

@method("fedavg", label="mine", source="here")
class First(FedAvgLoRA):
    """Takes the first client for the average."""

    def combine(self, server, replies, round):
        return Update(Adapter(replies.A[0], replies.B[0], server.scale))

def mean(dicts, weights):
    shapes = {one["layer.lora_A.weight"].shape for one in dicts}
    if not sum(weights) or min(weights) < 0 or len(shapes) > 1:
        raise ValueError("weights must be positive, and factors of one shape")
    for k, one in enumerate(dicts):
        for value in one.values():
            if not bool((abs(value) < 1e30).all()):
                raise ValueError(f"client {k} sent what is not finite")
    keys = ("layer.lora_A.weight", "layer.lora_B.weight")
    return {key: sum(n * d[key] for n, d in zip(weights, dicts)) / sum(weights) for key in keys}

number = 3
'''


@pytest.fixture
def mine(folder):
    (folder / "mine.py").write_text(MINE, "utf-8")
    return folder


def test_a_method_of_ours_conforms(capsys):
    status, out, _ = run(capsys, "conformance", "rolora-then-ffa:50")
    assert status == 0
    assert "rolora-then-ffa:50 conforms" in out


def test_a_class_that_fails_says_where(mine, capsys):
    status, out, _ = run(capsys, "conformance", "mine:First", "--junit", mine / "out.xml")
    assert status == 1  # though one of ours has its name
    assert "weight-of-one: all weight on one client: off by" in " ".join(out.split())
    assert int(parse(mine / "out.xml").getroot().get("failures")) >= 3


def test_a_bare_function_is_driven(mine, capsys):
    status, out, _ = run(capsys, "conformance", "mine:mean", "--function", "--json")
    assert status == 0
    assert json.loads(out)["conforms"]
    words = ("--function", "--average", "exact", "--json")
    status, out, _ = run(capsys, "conformance", "mine:mean", *words)
    failed = [c["case"] for c in json.loads(out)["cases"] if c["status"] == "failed"]
    assert (status, failed) == (1, ["exact-mean"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fedavgg",), "did you mean 'fedavg'"),
        (("mine:Nothing",), "got no 'Nothing' in mine"),
        (("mine:number",), "METHOD must be a federated_lora.Method"),
        (("mine:number", "--function"), "METHOD must name something that can be called"),
        (("mine:mean", "--function", "--trains", "AB,"), "--trains must be factors for each round"),
        (("mine:mean", "--function", "--trains", "C"), "--trains must be factors for each round"),
        (("mine:mean", "--function", "--average", "good"), "--average must be one of"),
        (("nobody:Here",), "there is no module 'nobody'"),
    ],
)
def test_bad_input_is_one_sentence(words, said, mine, capsys):
    status, _, err = run(capsys, "conformance", *words)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1
