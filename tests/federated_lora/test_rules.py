"""The rules against literal references, and the defects seen in public code."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federated_lora import (
    Adapter,
    Aggregate,
    ClientFactors,
    Factor,
    FedAvgLoRA,
    FFALoRA,
    RoLoRA,
    added,
    aggregate,
    aggregate_model,
    client_weights,
    dense,
)
from tests.support.rules import (
    D_IN,
    D_OUT,
    METHODS,
    NAMES,
    SIZES,
    FedEx,
    FedSA,
    after,
    literal_error,
    literal_mean,
    sent,
    setup,
)

every_method = pytest.mark.parametrize("method", METHODS, ids=NAMES)
anything = settings(max_examples=60, deadline=None)


@every_method
@pytest.mark.parametrize("round", [1, 2, 3, 4])
def test_rule_is_the_literal_mean_of_the_trained_factors(method, round):
    server, A, B = setup()
    given = A.copy(), B.copy(), server.A.copy(), server.B.copy()
    result = after(method, round, server, A, B)
    for factor, stack in ((Factor.A, A), (Factor.B, B)):
        if factor in method.trainable(round):
            mean = literal_mean(stack, SIZES)
            np.testing.assert_allclose(result.adapter.factor(factor), mean, rtol=1e-13, atol=1e-14)
        else:  # bit for bit, because it is the very same object
            assert result.adapter.factor(factor) is server.factor(factor)
    assert (result.adapter.scale, result.merged, result.personal) == (server.scale, None, None)
    for now, then in zip((A, B, server.A, server.B), given, strict=True):
        assert np.array_equal(now, then)  # nothing was written to


@pytest.mark.parametrize("shape", [(7, 3, 4), (4, 2, 9), (2, 2, 2), (40, 2, 30), (3, 1, 1)])
@pytest.mark.parametrize("clients", [1, 3, 12])
@pytest.mark.parametrize(
    "method", [*METHODS, FedEx(), FedEx(dense), FedSA()], ids=[*NAMES, "fedex", "dense", "fedsa"]
)
def test_aggregation_error_is_the_literal_distance(method, clients, shape):
    server, A, B = setup(3, clients, shape=shape)
    sizes = list(range(1, clients + 1))
    for round in (1, 2):
        result = after(method, round, server, A, B, sizes)
        error = float(result.aggregation_error)
        assert error == pytest.approx(literal_error(result, sizes), rel=1e-11, abs=1e-12)
        assert (error > 1e-3) == (
            method.name in ("fedavg", "fedavg-cv", "la-lora", "fedsa") and clients > 1
        )
        assert error > 1e-3 or error < 1e-12


@pytest.mark.parametrize("scale", [1.0, 0.25, -8.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_merged_makes_the_average_exact_for_every_scale(scale, dtype):
    """Scale forgotten, or a product transposed: each would leave an error."""
    server, A, B = setup(scale=scale, dtype=dtype)
    plain, result = after(FedAvgLoRA(), 1, server, A, B), after(FedEx(), 1, server, A, B)
    base = np.ones((D_IN, D_OUT), dtype)
    exact = base + sum(p * scale * A[k] @ B[k] for k, p in enumerate(client_weights(SIZES, 3)))
    rounding = 100 * np.finfo(dtype).eps
    total = added(base, result.merged) + result.adapter.delta()
    np.testing.assert_allclose(total, exact, rtol=rounding, atol=rounding * abs(scale))
    found = {x.dtype for x in (total, result.adapter.A, result.aggregation_error)}
    assert found == {np.dtype(dtype)}
    np.testing.assert_array_equal(added(base, dense(result.merged)), added(base, result.merged))
    unscaled = after(FedAvgLoRA(), 1, replace(server, scale=1.0), A, B).aggregation_error
    assert float(plain.aggregation_error) == pytest.approx(abs(scale) * float(unscaled), rel=1e-5)


def test_a_change_of_a_16_bit_base_is_rounded_once():
    base = torch.ones((2, 2), dtype=torch.bfloat16)
    # Half a unit of bfloat16's last place.
    step = Adapter(torch.full((2, 1), 2.0**-9), torch.ones((1, 2)))
    both = torch.full((2, 2), 2.0**-8)
    assert torch.equal(added(base, step), base)
    assert added(base, both).dtype == torch.bfloat16
    assert torch.equal(added(base, 1.5 * both), (base.float() + 1.5 * both).bfloat16())


def test_personal_factors_stay_with_their_clients():
    server, A, B = setup()
    result = after(FedSA(), 1, server, A, B)
    np.testing.assert_allclose(result.adapter.A, literal_mean(A, SIZES), rtol=1e-13, atol=1e-14)
    assert result.adapter.B is server.B
    assert result.personal.A is None
    assert result.personal.B is B
    instead = ClientFactors(B=0.0 * B)
    told = after(FedSA(lambda update: replace(update, personal=instead)), 1, server, A, B)
    assert told.personal.B is instead.B
    assert float(told.aggregation_error) == pytest.approx(literal_error(told, SIZES), rel=1e-12)


@pytest.mark.parametrize("factor", [Factor.A, Factor.B])
def test_error_is_right_where_a_rule_moves_the_factor_nobody_trained(factor):
    """A rule may send down another A than the one it broadcast (an SVD re-split, say)."""
    server, A, B = setup(5)
    came = ClientFactors(A=A) if factor is Factor.A else ClientFactors(B=B)
    moved = Adapter(server.A + 1.0, server.B - 2.0, server.scale)
    result = Aggregate(moved, server, came, client_weights(SIZES, 3))
    literal = literal_error(result, SIZES)
    assert float(result.aggregation_error) == pytest.approx(literal, rel=1e-12)


def test_small_errors_keep_their_digits():
    """Clients 1e-6 apart: the error is 1e-12 of the product, at the rounding of float64 but not below
    it, as it would be if squares of the products' norms were subtracted."""
    server, dA, dB = setup(1, clients=4, shape=(60, 1, 50))
    drift = 1e-6
    result = after(FedAvgLoRA(), 1, server, server.A + drift * dA, server.B + drift * dB, None)
    apart = drift**2 * np.mean((dA - dA.mean(0)) @ (dB - dB.mean(0)), axis=0)
    interference = server.scale * np.linalg.norm(apart)
    assert float(result.aggregation_error) == pytest.approx(interference, rel=1e-2)


@given(seed=st.integers(0, 10_000), factor=st.floats(1e-300, 1e300))
@anything
def test_only_the_ratio_of_sizes_counts(seed, factor):
    sizes = np.random.default_rng(seed).uniform(0.5, 2.0, 6)
    np.testing.assert_allclose(client_weights(sizes * factor, 6), sizes / sizes.sum(), rtol=1e-12)


@given(seed=st.integers(0, 10_000), clients=st.integers(1, 6), batched=st.booleans())
@anything
def test_numpy_and_torch_agree(seed, clients, batched):
    server, A, B = setup(seed, clients, batch=(2,) if batched else ())
    sizes = np.random.default_rng(seed).uniform(0.1, 9.0, clients)
    t_server = Adapter(torch.tensor(server.A), torch.tensor(server.B), server.scale)
    t_stacks = torch.tensor(A), torch.tensor(B), torch.tensor(sizes)
    for rule, round in product((*METHODS, FedEx(), FedSA()), (1, 2)):
        plain = after(rule, round, server, A, B, sizes)
        tensors = after(rule, round, t_server, *t_stacks)
        assert tensors.adapter.A.dtype == torch.float64
        # The same sums in the same order: the same bits.
        assert np.array_equal(plain.adapter.A, tensors.adapter.A.numpy())
        assert np.array_equal(plain.adapter.B, tensors.adapter.B.numpy())
        error = tensors.aggregation_error.numpy()
        np.testing.assert_allclose(plain.aggregation_error, error, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", [*METHODS, FedEx(), FedEx(dense), FedSA()], ids=lambda m: m.name)
def test_leading_axes_are_independent_trials(method):
    server, A, B = setup(2, clients=4, batch=(3, 2))
    for round in (1, 2):
        whole = after(method, round, server, A, B, [1, 2, 3, 4])
        assert whole.aggregation_error.shape == (3, 2)
        for trial in np.ndindex(3, 2):
            one, at = Adapter(server.A[trial], server.B[trial], server.scale), (slice(None), *trial)
            alone = after(method, round, one, A[at], B[at], [1, 2, 3, 4])
            assert np.array_equal(whole.adapter.A[trial], alone.adapter.A)
            assert np.array_equal(whole.adapter.B[trial], alone.adapter.B)
            error = whole.aggregation_error[trial]
            np.testing.assert_allclose(error, alone.aggregation_error, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    """1000 clients at 1.0 and one at 0: a bfloat16 running sum would stall far below the mean."""
    B = torch.ones((1001, 2, 3), dtype=dtype)
    B[0] = 0
    server = Adapter(torch.ones((4, 2), dtype=dtype), torch.zeros((2, 3), dtype=dtype))
    result = aggregate(RoLoRA(), server, ClientFactors(B=B), None, 1)
    assert result.adapter.B.dtype == dtype
    exact, spacing = B.double().mean(0), torch.finfo(dtype).eps / 2
    assert float((result.adapter.B.double() - exact).abs().max()) <= spacing
    running = sum(one / 1001 for one in B)
    assert float((running.double() - exact).abs().max()) > 10 * spacing
    # The error reported is the rounding of the float32 mean to the 16-bit type.
    assert result.aggregation_error.dtype == torch.float32
    single = sum(one.float() * (1 / 1001) for one in B)
    literal = torch.linalg.matrix_norm(server.A.float() @ (result.adapter.B.float() - single))
    assert float(result.aggregation_error) == pytest.approx(float(literal), abs=1e-6)


def test_a_frozen_factor_may_come_back_only_unchanged():
    server, _, B = setup()
    held = np.stack([server.A] * 3)
    result = aggregate(FFALoRA(), server, ClientFactors(A=held, B=B), SIZES, 1)
    assert result.adapter.A is server.A
    assert float(result.aggregation_error) < 1e-13
    held[2, 0, 0] = np.nextafter(held[2, 0, 0], np.inf)
    with pytest.raises(ValueError, match="client 2 changed factor A, which is frozen in round 1"):
        aggregate(FFALoRA(), server, ClientFactors(A=held, B=B), SIZES, 1)


def test_a_whole_model_is_its_layers_over_rounds():
    server = {name: setup(seed)[0] for seed, name in enumerate(("q", "v"))}
    for round in range(1, 6):
        stacks = {name: setup(100 * round + i)[1:] for i, name in enumerate(reversed(server))}
        clients = {name: sent(RoLoRA(), round, *stack) for name, stack in stacks.items()}
        result = aggregate_model(RoLoRA(), server, clients, SIZES, round)
        assert list(result) == ["q", "v"]
        frozen = Factor.A if round % 2 else Factor.B
        for name, held in server.items():
            alone = aggregate(RoLoRA(), held, clients[name], SIZES, round).adapter
            assert np.array_equal(result[name].adapter.A, alone.A)
            assert np.array_equal(result[name].adapter.B, alone.B)
            assert result[name].adapter.factor(frozen) is held.factor(frozen)
        server = {name: one.adapter for name, one in result.items()}
    with pytest.raises(ValueError, match="layers, differing in \\['v'\\]"):
        aggregate_model(RoLoRA(), server, {"q": clients["q"]}, SIZES, 1)
