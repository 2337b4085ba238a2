"""The conformance suite: ours pass it, and each known defect is found by the case that is there for it."""

import json
from dataclasses import replace
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
import torch

from federated_lora import (
    BOTH,
    ONLY_A,
    ONLY_B,
    Adapter,
    Average,
    Averaging,
    Factor,
    FedAvgLoRA,
    Replies,
    RoLoRA,
    Update,
    method_named,
    method_names,
)
from federated_lora.methods.mean.fedex_lora import FedExLoRA
from federated_lora.methods.mean.flexlora import FlexLoRA
from federated_lora.methods.rolora_momentum import RoLoRAMomentum
from federated_lora.testing import CASES, SETTINGS, Setting, Status, check_method, from_function

FEW = (
    Setting(),
    Setting("torch", "float32", "tall", "50 clients"),
    Setting(shape="square", weights="one client"),
)


@pytest.mark.parametrize("name", method_names())
def test_our_methods_conform(name):
    report = check_method(method_named(name, 10))
    assert report.conforms, str(report)
    by_case = {row.case: row for row in report.rows}
    assert by_case["agreement"].settings == len(SETTINGS) == 60
    unclaimed = {row.case for row in report.rows if row.status is Status.UNCLAIMED}
    # The suite's rounds have nothing before them to carry on.
    assert unclaimed <= {"best-of-rank-r", *(["exact-mean"] if "momentum" in name else [])}


def mutant(base, **changes):
    """A method like `base` with some of its attributes changed."""
    return type("Mutant", (base,), {"name": "mutant", **changes})()


class Counting(RoLoRA):
    """2: the phase is read from a counter, which everybody who asks advances."""

    asked = 0

    def trainable(self, round):
        self.asked += 1
        return ONLY_B if self.asked % 2 else ONLY_A


class Leaking(FedAvgLoRA):
    """1: the result starts from what the last call left behind."""

    last = None

    def combine(self, server, replies, round):
        update = super().combine(server, replies, round)
        left = 0.0 if self.last is None else self.last
        self.last = 0.5 * update.adapter.B
        return Update(update.adapter.with_factor(Factor.B, update.adapter.B + left))


def first_client(self, server, replies, round):
    """7: the average is p_1 × client 1 only."""
    p = float(replies.weights[0])
    return Update(Adapter(p * replies.A[0], p * replies.B[0], server.scale))


def unweighted(self, server, replies, round):
    """8: one factor is averaged with the weights, the other without."""
    equal = np.full_like(replies.weights, 1 / replies.weights.size)
    plain = Averaging.combine(self, server, Replies(equal, replies.A, replies.B), round).adapter
    return Update(
        Averaging.combine(self, server, replies, round).adapter.with_factor(Factor.A, plain.A)
    )


def thawed(self, server, replies, round):
    """4: the frozen factor moves, too."""
    adapter = Averaging.combine(self, server, replies, round).adapter
    return Update(adapter.with_factor(Factor.A, 1.01 * adapter.A))


def unscaled(self, server, replies, round):
    """5: the residual without its scale."""
    update = FedExLoRA.combine(self, server, replies, round)
    return Update(update.adapter, replace(update.merged, scale=-1.0))


def root_lost(self, server, replies, round):
    """5: √Σ is given to one factor only."""
    adapter = FlexLoRA.combine(self, server, replies, round).adapter
    norms = (adapter.A**2).sum(-2) ** 0.5
    return Update(adapter.with_factor(Factor.A, adapter.A / norms))


def remembering(self, server, replies, round):
    """9: momentum that no checkpoint holds."""
    adapter = Averaging.combine(self, server, replies, round).adapter
    before = getattr(self, "velocity", 0.0)
    self.velocity = 0.9 * before + (adapter.B - server.B)
    return Update(adapter.with_factor(Factor.B, server.B + self.velocity))


def forgetful(self, server, replies, round):
    """9: in B's rounds what A moved before is not handed on."""
    update = RoLoRAMomentum.combine(self, server, replies, round)
    return update if Factor.A in self.trainable(round) else replace(update, memory=None)


def on_itself(self, server, replies, round):
    """9: what is to be remembered stays with the instance."""
    held = replace(replies, memory=getattr(self, "held", None))
    update = RoLoRAMomentum.combine(self, server, held, round)
    self.held = update.memory
    return replace(update, memory=None)


def half_on_itself(self, server, replies, round):
    """9: it is handed on, but the instance's own is used."""
    update = on_itself(self, server, replies, round)
    return replace(update, memory=self.held)


def unannounced(self, server, replies, round):
    """9: a memory that nobody was told of."""
    update = Averaging.combine(self, server, replies, round)
    return replace(update, memory=update.adapter.A)


def overwriting(self, server, replies, round):
    """1: the sum is collected in the first client's array."""
    for factor in Factor:
        stack = replies.factor(factor)
        stack[0] *= float(replies.weights[0])
        for k in range(1, stack.shape[0]):
            stack[0] += float(replies.weights[k]) * stack[k]
    return Update(Adapter(replies.A[0], replies.B[0], server.scale))


def by_position(self, server, replies, round):
    """1: later clients count more."""
    turn = np.arange(1.0, replies.weights.size + 1) * replies.weights
    return Averaging.combine(self, server, Replies(turn / turn.sum(), replies.A, replies.B), round)


MUTANTS = {
    "1 leak": (Leaking(), "nothing-written"),
    "1 written to": (mutant(FedAvgLoRA, combine=overwriting), "nothing-written"),
    "1 order": (mutant(FedAvgLoRA, combine=by_position), "order-of-clients"),
    "2 counter": (Counting(), "phase"),
    "3 A first": (
        mutant(RoLoRA, trainable=lambda self, t: ONLY_A if t % 2 else ONLY_B),
        "first-round",
    ),
    "4 thawed": (mutant(method_named("ffa").__class__, combine=thawed), "frozen-factor"),
    "5 scale": (mutant(FedExLoRA, combine=unscaled), "scale"),
    "5 root": (mutant(FlexLoRA, combine=root_lost), "best-of-rank-r"),
    "5 promise": (mutant(FedAvgLoRA, average=Average.EXACT), "exact-mean"),
    "7 first": (mutant(FedAvgLoRA, combine=first_client), "agreement"),
    "8 mixed": (mutant(FedAvgLoRA, combine=unweighted), "weight-of-one"),
    "9 memory": (mutant(FedAvgLoRA, combine=remembering), "resume"),
    "9 forgotten": (mutant(RoLoRAMomentum, combine=forgetful), "memory"),
    "9 on itself": (mutant(RoLoRAMomentum, combine=on_itself), "resume"),
    "9 on itself, unused": (mutant(RoLoRAMomentum, combine=on_itself), "memory"),
    "9 half": (mutant(RoLoRAMomentum, combine=half_on_itself), "resume"),
    "9 unannounced": (mutant(FedAvgLoRA, combine=unannounced), "memory"),
    "gauge": (
        mutant(FedAvgLoRA, gauges=frozenset(method_named("flexlora").gauges)),
        "client-bases",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_defect_is_found_by_its_case(name):
    subject, case = MUTANTS[name]
    report = check_method(subject, FEW)
    assert case in report.failed, str(report)
    number = int(name[0]) if name[0].isdigit() else 0
    assert next(one for one in CASES if one.name == case).defect == number


# Rules as they are found in public repositories, as functions of PEFT state dicts.

A, B, W = "layer.lora_A.weight", "layer.lora_B.weight", "layer.base_layer.weight"


def mean_of(dicts, weights, key):
    return sum(n * d[key] for n, d in zip(weights, dicts, strict=True)) / sum(weights)


def sound(dicts, weights):
    if not sum(weights) or min(weights) < 0 or len({one[A].shape for one in dicts}) > 1:
        raise ValueError("weights must be positive, and factors of one shape")
    for k, one in enumerate(dicts):
        for name, value in one.items():
            if not np.isfinite(
                np.asarray(value.float() if hasattr(value, "float") else value)
            ).all():
                raise ValueError(f"client {k} sent a NaN or infinity in {name}")


def fedavg(dicts, weights):
    sound(dicts, weights)
    return {key: mean_of(dicts, weights, key) for key in (A, B)}


def wide(x):
    return x.float() if isinstance(x, torch.Tensor) and x.dtype is torch.bfloat16 else x


def fedex(dicts, weights, scaling, *, forget_scale=False, transpose=False, conv1d=False):
    """PEFT's W is (d_out, d_in), ΔW = scaling · B A; GPT-2's Conv1D has it transposed."""
    made = fedavg(dicts, weights)
    exact = sum(n * wide(d[B]) @ wide(d[A]) for n, d in zip(weights, dicts, strict=True)) / sum(
        weights
    )
    gap = exact - wide(made[B]) @ wide(made[A])
    change = gap if forget_scale else scaling * gap
    change = change.T if conv1d else change
    # Transposed by mistake: unnoticed on square matrices, elsewhere forced into shape.
    return made | {W: change.T.reshape(change.shape) if transpose else change}


def test_functions_of_others_can_be_driven():
    assert check_method(from_function(fedavg)).conforms
    for conv1d in (False, True):

        def rule(dicts, weights, scaling, conv1d=conv1d):
            return fedex(dicts, weights, scaling, conv1d=conv1d)

        report = check_method(from_function(rule, average=Average.EXACT, conv1d=conv1d))
        assert report.conforms, str(report)


def leaky(dicts, weights, _shared={}):  # noqa: B006 - the defect itself
    """One model object for all clients: a key that is not overwritten stays as the last client left it."""
    sound(dicts, weights)
    made = {A: mean_of(dicts, weights, A), B: _shared.get(B, mean_of(dicts, weights, B))}
    _shared[B] = dicts[-1][B]
    return made


def test_published_defects_are_found_by_name():
    forgotten = from_function(
        lambda dicts, weights, scaling: fedex(dicts, weights, scaling, forget_scale=True),
        name="scale forgotten in the residual", average=Average.EXACT,
    )  # fmt: skip
    assert {"exact-mean", "scale"} <= set(check_method(forgotten, FEW).failed)
    turned = from_function(
        lambda dicts, weights, scaling: fedex(dicts, weights, scaling, transpose=True),
        name="residual added transposed", average=Average.EXACT,
    )  # fmt: skip
    assert "exact-mean" in check_method(turned, FEW).failed
    leak = from_function(leaky, name="state leaks between clients")
    assert "nothing-written" in check_method(leak, (Setting(),)).failed

    def lost(dicts, weights):
        sound(dicts, weights)
        exact = sum(n * d[B] @ d[A] for n, d in zip(weights, dicts, strict=True)) / sum(weights)
        U, sigma, Vt = np.linalg.svd(exact, full_matrices=False)
        rank = dicts[0][A].shape[0]
        return {B: U[:, :rank], A: np.sqrt(sigma[:rank, None]) * Vt[:rank]}

    split = from_function(lost, name="√Σ lost", average=Average.BEST)
    assert {"best-of-rank-r", "agreement"} <= set(check_method(split, (Setting(),)).failed)

    def careless(dicts, weights):
        return {key: mean_of(dicts, weights, key) for key in (A, B)}

    report = check_method(from_function(careless), FEW)
    assert report.failed == ("non-finite", "bad-input")
    assert "weights that are all zero went through" in str(report)

    def broadcasting(dicts, weights):
        if not sum(weights) or min(weights) < 0:
            raise ValueError("weights must be positive")
        return careless(dicts, weights)

    told = str(check_method(from_function(broadcasting), FEW))
    assert "a client of another rank went through" in told
    # The mean of equal arrays is off by a rounding, and drifts over the rounds.
    averaged = from_function(fedavg, trains=(BOTH, ONLY_A), name="averages what is frozen")
    many = Setting(weights="50 clients")
    assert check_method(averaged, (many,)).failed == ("frozen-factor",)


def test_a_method_that_raises_fails_and_says_so():
    def broken(self, server, replies, round):
        raise RuntimeError("out of memory")

    report = check_method(mutant(FedAvgLoRA, combine=broken), (Setting(),))
    assert "RuntimeError: out of memory (numpy float64, wide, unequal weights)" in str(report)


def test_reports_for_machines():
    report = check_method(mutant(FedAvgLoRA, combine=first_client), FEW)
    told = json.loads(json.dumps(report.json()))
    assert (told["conforms"], told["schema_version"], told["method"]) == (False, 1, "mutant")
    assert {c["case"] for c in told["cases"] if c["status"] == "failed"} == set(report.failed)
    suite = fromstring(report.junit())
    assert int(suite.get("tests")) == len(CASES) == len(suite)
    assert int(suite.get("failures")) == len(report.failed) == len(suite.findall(".//failure"))
    assert int(suite.get("skipped")) == len(suite.findall(".//skipped")) > 0


def test_a_function_without_turns_is_refused():
    with pytest.raises(ValueError, match="trains must name at least one factor"):
        from_function(fedavg, trains=())
