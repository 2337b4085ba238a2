"""The rules that do more than average, each against its formula in dense matrices."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from federated_lora import (
    Adapter,
    ClientFactors,
    Factor,
    Shape,
    aggregate,
    client_weights,
    dense,
    method_named,
)
from federated_lora.spectral import thin_svd, truncated

SIZES = [1.0, 2.0, 5.0]
SHAPES = [(7, 3, 4), (4, 2, 9), (30, 2, 20), (3, 3, 3), (5, 1, 1)]
every_shape = pytest.mark.parametrize("shape", SHAPES)


def round_of(name, shape=(7, 3, 4), *, seed=0, scale=0.5, batch=(), clients=3, dtype=np.float64):
    """A server, what the clients came back with, and the method's step."""
    d_in, rank, d_out = shape
    rng = np.random.default_rng(seed)
    sizes = ((*batch, d_in, rank), (*batch, rank, d_out))
    server = Adapter(*(rng.standard_normal(size).astype(dtype) for size in sizes), scale)
    A, B = (rng.standard_normal((clients, *size)).astype(dtype) for size in sizes)
    method = method_named(name, 6)
    trained = method.trainable(1) | method.personal
    if Factor.A not in trained:
        A = np.broadcast_to(server.A, A.shape)
    sent = ClientFactors(A=A if Factor.A in trained else None, B=B)
    weights = SIZES if clients == 3 else list(range(1, clients + 1))
    result = aggregate(method, server, sent, weights, 1)
    p = client_weights(weights, clients)
    exact = scale * sum(share * A[k] @ B[k] for k, share in enumerate(p))
    return server, A, B, p, result, exact


@every_shape
@pytest.mark.parametrize("scale", [1.0, 0.25, -2.0])
def test_flexlora_is_the_truncated_svd_evenly_split(shape, scale):
    *_, result, exact = round_of("flexlora", shape, scale=scale)
    U, sigma, Vt = np.linalg.svd(exact)
    best = (U[:, : shape[1]] * sigma[: shape[1]]) @ Vt[: shape[1]]
    np.testing.assert_allclose(result.adapter.delta(), best, atol=1e-12)
    A, B = result.adapter.A, result.adapter.B
    # Evenly: both factors have the same singular values.
    np.testing.assert_allclose(A.T @ A, B @ B.T, atol=1e-12)
    assert float(result.aggregation_error) == pytest.approx(
        np.linalg.norm(sigma[shape[1] :]), abs=1e-12
    )


@every_shape
@pytest.mark.parametrize("clients", [1, 3, 12])
def test_flora_puts_all_of_the_mean_into_w0(shape, clients):
    server, _, _, _, result, exact = round_of("flora", shape, clients=clients)
    np.testing.assert_allclose(dense(result.merged), exact, atol=1e-12)
    assert result.adapter.A is server.A
    assert not result.adapter.B.any()
    # Nothing is sent twice: the next round starts from B = 0, which stays the same array.
    again = aggregate(
        method_named("flora"), result.adapter, result.clients, result.weights, 2
    ).adapter  # fmt: skip
    assert again is result.adapter


@every_shape
def test_fedex_is_the_mean_of_the_factors_and_the_rest_in_w0(shape):
    _, A, B, p, result, exact = round_of("fedex", shape)
    np.testing.assert_allclose(result.adapter.A, np.tensordot(p, A, 1), atol=1e-13)
    np.testing.assert_allclose(result.adapter.B, np.tensordot(p, B, 1), atol=1e-13)
    np.testing.assert_allclose(result.adapter.delta() + dense(result.merged), exact, atol=1e-12)


def test_fedsa_averages_a_and_leaves_b_where_it_is():
    server, A, B, p, result, _ = round_of("fedsa")
    np.testing.assert_allclose(result.adapter.A, np.tensordot(p, A, 1), atol=1e-13)
    assert result.adapter.B is server.B
    assert result.personal.B is B
    assert method_named("fedsa").traffic([Shape(7, 3, 4)], 1).total == 2 * 21


@every_shape
def test_fedsvd_is_the_same_model_in_an_orthonormal_basis(shape):
    server, _, B, p, result, exact = round_of("fedsvd", shape)
    np.testing.assert_allclose(result.adapter.delta(), exact, atol=1e-12)
    np.testing.assert_allclose(result.adapter.A.T @ result.adapter.A, np.eye(shape[1]), atol=1e-12)
    gram = result.adapter.B @ result.adapter.B.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-12)
    sigma = np.linalg.svd(server.A @ np.tensordot(p, B, 1), compute_uv=False)[: shape[1]]
    np.testing.assert_allclose(np.diag(gram)[: sigma.size], sigma**2, atol=1e-11)


@every_shape
def test_fedrot_averages_what_procrustes_aligned(shape):
    server, A, B, p, result, _ = round_of("fedrot", shape)
    turned = []
    for A_k, B_k in zip(A, B, strict=True):
        # SciPy's, on the stacked [A_k; B_kᵀ] against [A; Bᵀ].
        Q, _ = orthogonal_procrustes(np.vstack([A_k, B_k.T]), np.vstack([server.A, server.B.T]))
        turned.append((A_k @ Q, Q.T @ B_k))
    np.testing.assert_allclose(
        result.adapter.A, sum(s * a for s, (a, _) in zip(p, turned, strict=True)), atol=1e-12
    )
    np.testing.assert_allclose(
        result.adapter.B, sum(s * b for s, (_, b) in zip(p, turned, strict=True)), atol=1e-12
    )


def test_rotations_help_where_clients_differ_by_one():
    """Three clients with one model in three bases: FedAvg-LoRA loses it, FedRot-LoRA does not."""
    rng = np.random.default_rng(5)
    A, B = rng.standard_normal((7, 3)), rng.standard_normal((3, 4))
    Q = np.linalg.qr(rng.standard_normal((3, 3, 3))).Q
    sent = ClientFactors(A=A @ Q, B=np.swapaxes(Q, -1, -2) @ B)
    errors = {
        name: float(aggregate(method_named(name), Adapter(A, B), sent, SIZES, 1).aggregation_error)
        for name in ("fedavg", "fedrot")
    }
    assert errors["fedavg"] > 0.1
    assert errors["fedrot"] < 1e-12


@every_shape
@pytest.mark.parametrize("strength", [0.0, 0.01, 3.0])
def test_lora_fair_is_the_regularised_least_squares(shape, strength):
    _, A, B, p, result, exact = round_of(f"lora-fair:{strength}", shape, scale=-2.0)
    mean_A, mean_B = np.tensordot(p, A, 1), np.tensordot(p, B, 1)
    rank = shape[1]
    ridge = strength * np.trace(mean_A.T @ mean_A) / rank
    # By least squares on the stacked system, not by normal equations.
    system = np.vstack([mean_A, np.sqrt(ridge) * np.eye(rank)])
    target = np.vstack([exact / -2.0 - mean_A @ mean_B, np.zeros((rank, shape[2]))])
    delta = np.linalg.lstsq(system, target, rcond=None)[0]
    np.testing.assert_allclose(result.adapter.A, mean_A, atol=1e-13)
    np.testing.assert_allclose(result.adapter.B, mean_B + delta, rtol=1e-9, atol=1e-9)


def test_lora_fair_comes_nearer_to_the_mean_the_weaker_its_regularisation():
    errors = [float(round_of(f"lora-fair:{s}")[4].aggregation_error) for s in (0.0, 0.01, 1.0, 1e6)]
    plain = float(round_of("fedavg")[4].aggregation_error)
    assert errors == sorted(errors)
    assert errors[0] < plain == pytest.approx(errors[-1], rel=1e-4)


@pytest.mark.parametrize("given", ["x", "-1", "inf", "nan"])
def test_a_bad_strength_is_refused(given):
    with pytest.raises(ValueError, match=f"the strength in 'lora-fair:{given}' must be a finite"):
        method_named(f"lora-fair:{given}")


OTHERS = ("flexlora", "flora", "fedex", "fedsa", "fedsvd", "fedrot", "lora-fair:0.01")


@pytest.mark.parametrize("name", OTHERS)
def test_replicas_side_by_side_are_each_alone(name):
    server, A, B, p, whole, _ = round_of(name, batch=(2, 3), seed=4)
    method = method_named(name)
    for at in np.ndindex(2, 3):
        one = Adapter(server.A[at], server.B[at], server.scale)
        own = (slice(None), *at)
        sent = ClientFactors(A=None if whole.clients.A is None else A[own], B=B[own])
        alone = aggregate(method, one, sent, p, 1)
        np.testing.assert_allclose(whole.adapter.A[at], alone.adapter.A, atol=1e-12)
        np.testing.assert_allclose(whole.adapter.B[at], alone.adapter.B, atol=1e-12)
        if alone.merged is not None:
            np.testing.assert_allclose(dense(whole.merged)[at], dense(alone.merged), atol=1e-12)


@pytest.mark.parametrize("name", OTHERS)
def test_torch_gives_what_numpy_gives(name):
    server, A, B, p, plain, _ = round_of(name, seed=2)
    tensors = Adapter(torch.tensor(server.A), torch.tensor(server.B), server.scale)
    sent = ClientFactors(A=None if plain.clients.A is None else torch.tensor(A), B=torch.tensor(B))
    made = aggregate(method_named(name), tensors, sent, p, 1)
    for factor in Factor:  # signs of singular vectors, too
        np.testing.assert_allclose(
            made.adapter.factor(factor).numpy(), plain.adapter.factor(factor), atol=1e-12
        )


@pytest.mark.parametrize(("d_in", "k", "d_out"), [(9, 4, 7), (3, 8, 5), (6, 6, 2), (1, 2, 1)])
def test_thin_svd_is_scipys(d_in, k, d_out):
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((2, d_in, k)), rng.standard_normal((2, k, d_out))
    U, sigma, Vt = thin_svd(left, right)
    n = min(d_in, k, d_out)
    assert (U.shape, sigma.shape, Vt.shape) == ((2, d_in, n), (2, n), (2, n, d_out))
    np.testing.assert_allclose((U * sigma[:, None]) @ Vt, left @ right, atol=1e-12)
    singular = np.linalg.svd(left @ right, compute_uv=False)[:, :n]
    np.testing.assert_allclose(sigma, singular, atol=1e-12)
    np.testing.assert_allclose(
        np.swapaxes(U, -1, -2) @ U, np.broadcast_to(np.eye(n), (2, n, n)), atol=1e-12
    )
    largest = np.take_along_axis(U, np.abs(U).argmax(-2, keepdims=True), -2)
    assert (largest > 0).all()


def test_the_servers_svd_needs_memory_for_what_was_sent_only():
    """Five times the clients' factors at most, far from the dense matrix; NumPy's arrays are traced."""
    clients, d, rank = 20, 2000, 4
    rng = np.random.default_rng(0)
    server = Adapter(rng.standard_normal((d, rank)), rng.standard_normal((rank, d)))
    sent = ClientFactors(
        A=rng.standard_normal((clients, d, rank)), B=rng.standard_normal((clients, rank, d))
    )
    tracemalloc.start()
    aggregate(method_named("flexlora"), server, sent, None, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * (sent.A.nbytes + sent.B.nbytes) < 8 * d * d


def test_ranks_that_are_not_there_are_zeros():
    rng = np.random.default_rng(0)
    U, sigma, Vt = truncated(rng.standard_normal((5, 2)), rng.standard_normal((2, 4)), 3)
    assert (U.shape, sigma.shape, Vt.shape) == ((5, 3), (3,), (3, 4))
    assert sigma[2] == 0.0
    assert not U[:, 2].any()
