"""What adapters, weights, methods and the server's step refuse, and in which sentence."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from federated_lora import (
    Adapter,
    ClientFactors,
    RoLoRA,
    Update,
    aggregate,
    aggregate_model,
    client_weights,
    dense,
    method_named,
)
from tests.support.rules import SIZES, FedEx, FedSA, setup

SERVER, A3, B3 = setup()
SICK = B3.copy()
SICK[1, 2, 3] = np.nan
INFINITE = np.where(np.isnan(SICK), -np.inf, SICK)


def reply(method=RoLoRA(), weights=SIZES, round=7, **factors):  # noqa: B008
    return aggregate(method, SERVER, ClientFactors(**factors), weights, round)


def merging(change):
    return lambda: reply(FedEx(change), A=A3, B=B3)


def personal(change):
    return lambda: reply(FedSA(change), A=A3, B=B3)


def undeclared():
    method = FedEx()
    method.merges = False
    reply(method, A=A3, B=B3)


def answering(update):
    """A method that returns that, whatever it was sent."""
    method = RoLoRA()
    method.combine = lambda *_: update
    return lambda: reply(method, B=B3)


def padded(*shapes):
    return lambda: ClientFactors.padded([(np.ones(a), np.ones(b)) for a, b in shapes], 2)


REFUSED = [
    (lambda: Adapter(np.ones((3, 2)), np.ones((3, 2))), "one rank"),
    (lambda: Adapter(np.ones(3), np.ones((3, 2))), "one rank"),
    (lambda: Adapter(np.ones((2, 3, 1)), np.ones((5, 1, 4))), "leading axes"),
    (lambda: Adapter(np.ones((3, 0)), np.ones((0, 2))), "not be empty"),
    (lambda: Adapter(np.ones((3, 1), int), np.ones((1, 2), int)), "floating dtype, got A int64"),
    (lambda: Adapter(np.ones((3, 1)), np.ones((1, 2), np.float32)), "one real floating dtype"),
    (lambda: Adapter(np.ones((3, 1)), np.ones((1, 2)), 0.0), "scale .* got 0.0"),
    (lambda: Adapter(np.ones((3, 1)), np.ones((1, 2)), float("nan")), "scale .* got nan"),
    (lambda: Adapter(np.ones((3, 1)), torch.ones((1, 2))), "of one library"),
    (lambda: Adapter([[1.0]], [[1.0]]), "numpy arrays or torch tensors"),
    (lambda: ClientFactors(), "at least one factor"),
    (lambda: ClientFactors(A=np.ones((3, 2))), "client axis first"),
    (lambda: ClientFactors(A=np.ones((3, 2, 1)), B=np.ones((2, 1, 2))), r"counts \[2, 3\]"),
    (lambda: ClientFactors(A=np.ones((0, 2, 1))), r"counts \[0\]"),
    (lambda: client_weights([1.0], 2), r"one number per client \(2\)"),
    (lambda: client_weights([1.0, -1.0], 2), "non-negative"),
    (lambda: client_weights([0.0, 0.0], 2), "not all zero"),
    (lambda: client_weights([1.0, float("nan")], 2), "finite"),
    (lambda: client_weights(["many", "few"], 2), "real numbers"),
    (lambda: client_weights(None, 0), "at least 1"),
    (lambda: method_named("rolara"), "did you mean 'rolora'"),
    (lambda: method_named("rolora:2"), "method rolora takes no parameter, got '2'"),
    (lambda: method_named("rolora-then-ffa:2"), "needs the run's number of rounds"),
    (lambda: method_named("balanced"), "did you mean"),
    (lambda: method_named(""), "did you mean"),
    (lambda: method_named("rolora-then-ffa:0", 10), "strictly between 0 and 100, got '0'"),
    (lambda: method_named("rolora-then-ffa:x", 10), "strictly between 0 and 100, got 'x'"),
    (lambda: method_named("rolora-then-ffa:20", 4), "must come to at least one .* of 4 rounds"),
    (lambda: method_named("rolora-then-ffa:10", 10), "must come to at least one .* of 10 rounds"),
    (lambda: method_named("ffa-then-rolora:99", 4), "must come to at least one .* of 4 rounds"),
    (lambda: RoLoRA().trainable(0), "counts from 1, got 0"),
    (lambda: RoLoRA().trainable(True), "counts from 1, got True"),
    (lambda: RoLoRA().trainable(1.0), "counts from 1, got 1.0"),
    (lambda: reply(A=A3), "factor B is trained in round 7, but no client sent it"),
    (lambda: reply(B=np.ones((3, 3, 5))), r"server's shape \(3, 4\), got \(3, 5\)"),
    (lambda: reply(B=B3.astype(np.float32)), "server's dtype float64, got float32"),
    (lambda: reply(B=torch.tensor(B3)), "of one library"),
    (lambda: reply(B=B3, weights=[1, 2]), "weights"),
    (lambda: reply(B=SICK), "client 1 sent a NaN or infinite value in factor B in round 7"),
    (lambda: reply(B=INFINITE), "client 1 sent a NaN or infinite value in factor B in round 7"),
    # A weight of zero does not excuse it: 0 × NaN is NaN.
    (lambda: reply(B=SICK, weights=[1, 0, 1]), "client 1 "),
    (
        lambda: aggregate_model(RoLoRA(), {"q": SERVER}, {"q": ClientFactors(B=SICK)}, SIZES, 7),
        "layer q: client 1 sent a NaN .* factor B in round 7",
    ),
    (lambda: reply(FedSA(), A=A3), "factor B is trained in round 7, but no client"),
    (undeclared, "method fedex in round 7 changed W0, but does not say merges = True"),
    (merging(lambda m: dense(m).T), r"change of W0 must have shape \(7, 4\), got \(4, 7\)"),
    (merging(lambda m: replace(m, A=m.A[:5])), r"must have shape \(7, 4\), got \(5, 4\)"),
    (merging(lambda m: replace(m, B=m.B * np.inf)), "change of W0 has a NaN or infinite value"),
    (personal(lambda u: replace(u, adapter=replace(SERVER, scale=2.0))), "keep the scale 0.5, got"),
    (
        personal(lambda u: replace(u, adapter=Adapter(SERVER.A[:, :1], SERVER.B[:1], 0.5))),
        r"factor A must be float64 of shape \(7, 3\), got float64 of shape \(7, 1\)",
    ),
    (
        personal(lambda u: replace(u, adapter=replace(SERVER, A=SERVER.A * np.nan))),
        "method fedsa in round 7: factor A has a NaN or infinite value",
    ),
    (personal(lambda u: replace(u, personal=ClientFactors(A=A3))), "its personal factors, B"),
    (personal(lambda u: replace(u, personal=ClientFactors(B=SICK))), "client 1 sent a NaN"),
    (personal(lambda u: replace(u, personal=ClientFactors(B=B3[:1]))), "of each of the 3 clients, got 1"),
    (answering(None), "method rolora in round 7 must return an Update of an Adapter, got NoneType"),
    (answering(SERVER), "must return an Update of an Adapter, got Adapter"),
    (answering(Update((SERVER.A, SERVER.B))), "must return an Update of an Adapter, got tuple"),
    (answering(Update(SERVER, memory=0.5)), "must be numpy arrays or torch tensors .* got builtins.float"),
    (answering(Update(SERVER, memory=np.full(2, np.inf))), "its memory has a NaN or infinite value"),
    (padded(), "pairs must be of one client at least"),
    (padded(((4, 3), (3, 5))), r"of ranks up to 2, got ranks \[3\]"),
    (padded(((4, 2), (2, 5)), ((3, 2), (2, 5))), r"client 1's A must be .* as client 0's, got \(3, 2\)"),
    (padded(((4, 2), (2, 5)), ((4, 1), (1, 6))), r"client 1's A must be .* \(4, 1\) and \(1, 6\)"),
    (padded(((4, 1), (2, 5))), r"client 0's A must be \(d_in, r_k\) and its B \(r_k, d_out\)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_wrong_is_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
