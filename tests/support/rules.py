"""Methods as tests turn them, made-up factors, and the rules' literal references."""

from dataclasses import replace

import numpy as np

from federated_lora import (
    Adapter,
    Averaging,
    ClientFactors,
    Factor,
    aggregate,
    dense,
    method_named,
    method_names,
)
from federated_lora.methods.fedsa_lora import FedSALoRA
from federated_lora.methods.mean.fedex_lora import FedExLoRA

METHODS = [
    one
    for one in (method_named(name, rounds=6) for name in method_names())
    if type(one).combine is Averaging.combine and not one.personal
]
"""Those that average what was trained and do no more; `test_others.py` has the others."""
NAMES = [one.name for one in METHODS]
D_IN, RANK, D_OUT = 7, 3, 4
SIZES = [1.0, 2.0, 5.0]


class FedEx(FedExLoRA):
    """`change` is applied to what is put into W0."""

    def __init__(self, change=lambda merged: merged):
        self.change = change

    def combine(self, server, replies, round):
        update = super().combine(server, replies, round)
        return replace(update, merged=self.change(update.merged))


class FedSA(FedSALoRA):
    """`change` is applied to the update."""

    def __init__(self, change=lambda update: update):
        self.change = change

    def combine(self, server, replies, round):
        assert replies.B is None  # it never left its client
        return self.change(super().combine(server, replies, round))


def setup(seed=0, clients=3, scale=0.5, batch=(), shape=(D_IN, RANK, D_OUT), dtype=np.float64):
    d_in, rank, d_out = shape
    rng = np.random.default_rng(seed)
    sizes = ((*batch, d_in, rank), (*batch, rank, d_out))
    server = Adapter(*(rng.standard_normal(size).astype(dtype) for size in sizes), scale)
    A, B = (rng.standard_normal((clients, *size)).astype(dtype) for size in sizes)
    return server, A, B


def sent(method, round, A, B):
    trained = method.trainable(round) | method.personal
    return ClientFactors(A=A if Factor.A in trained else None, B=B if Factor.B in trained else None)


def after(method, round, server, A, B, sizes=SIZES):
    return aggregate(method, server, sent(method, round, A, B), sizes, round)


def literal_mean(stack, sizes):
    """Plain Python loops over entries."""
    out = np.zeros(stack.shape[1:])
    for index in np.ndindex(*out.shape):
        out[index] = sum(p * stack[(k, *index)] for k, p in enumerate(sizes)) / sum(sizes)
    return out


def literal_error(result, sizes):
    """By dense products, one client after the other."""
    s, gap = result.server.scale, 0.0 if result.merged is None else dense(result.merged)
    for k, size in enumerate(sizes):
        for share, held, own in (
            (size / sum(sizes), result.adapter, result.personal),
            (-size / sum(sizes), result.server, result.clients),
        ):
            A_k = held.A if own is None or own.A is None else own.A[k]
            B_k = held.B if own is None or own.B is None else own.B[k]
            gap = gap + share * s * (A_k @ B_k)
    return np.linalg.norm(gap)
