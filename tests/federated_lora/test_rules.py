"""The three averaging rules against literal references, and the defects seen in public code."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federated_lora import (
    BOTH,
    ONLY_A,
    ONLY_B,
    Adapter,
    Aggregate,
    ClientFactors,
    Factor,
    FedAvgLoRA,
    FFALoRA,
    Method,
    RoLoRA,
    aggregate,
    aggregate_model,
    client_weights,
    method_named,
    method_names,
)

METHODS = [method_named(name, rounds=6) for name in method_names()]
D_IN, RANK, D_OUT = 7, 3, 4
SIZES = [1.0, 2.0, 5.0]


def setup(seed=0, clients=3, scale=0.5, batch=(), d_in=D_IN, rank=RANK, d_out=D_OUT):
    rng = np.random.default_rng(seed)
    server = Adapter(
        rng.standard_normal((*batch, d_in, rank)),
        rng.standard_normal((*batch, rank, d_out)),
        scale,
    )
    A = rng.standard_normal((clients, *batch, d_in, rank))
    B = rng.standard_normal((clients, *batch, rank, d_out))
    return server, A, B


def sent(method, round, A, B):
    trained = method.trainable(round)
    return ClientFactors(A=A if Factor.A in trained else None, B=B if Factor.B in trained else None)


def literal_mean(stack, sizes):
    """Plain Python loops over entries."""
    out = np.zeros(stack.shape[1:])
    for index in np.ndindex(*out.shape):
        out[index] = sum(p * stack[(k, *index)] for k, p in enumerate(sizes)) / sum(sizes)
    return out


def literal_error(result, server, A, B, sizes):
    exact = np.zeros((server.A.shape[-2], server.B.shape[-1]))
    for k, size in enumerate(sizes):
        A_k = A[k] if A is not None else server.A
        B_k = B[k] if B is not None else server.B
        exact += size / sum(sizes) * server.scale * (A_k @ B_k)
    merged = 0.0 if result.merged is None else result.merged
    return np.linalg.norm(
        result.adapter.scale * result.adapter.A @ result.adapter.B + merged - exact
    )


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("round", [1, 2, 3, 4])
def test_rule_is_the_literal_mean_of_the_trained_factors(method, round):
    server, A, B = setup()
    result = aggregate(method, server, sent(method, round, A, B), SIZES, round)
    trained = method.trainable(round)
    for factor, stack in ((Factor.A, A), (Factor.B, B)):
        if factor in trained:
            np.testing.assert_allclose(
                result.adapter.factor(factor), literal_mean(stack, SIZES), rtol=1e-13, atol=1e-14
            )
        else:
            # Bit for bit, because it is the very same object.
            assert result.adapter.factor(factor) is server.factor(factor)
    assert result.adapter.scale == server.scale
    assert result.merged is None
    assert isinstance(method, Method)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("shape", [(7, 3, 4), (4, 2, 9), (2, 2, 2), (40, 2, 30), (3, 1, 1)])
@pytest.mark.parametrize("clients", [1, 3, 12])
def test_aggregation_error_is_the_literal_distance(method, shape, clients):
    d_in, rank, d_out = shape
    server, A, B = setup(3, clients, d_in=d_in, rank=rank, d_out=d_out)
    sizes = list(range(1, clients + 1))
    for round in (1, 2):
        came = sent(method, round, A, B)
        result = aggregate(method, server, came, sizes, round)
        literal = literal_error(result, server, came.A, came.B, sizes)
        np.testing.assert_allclose(result.aggregation_error, literal, rtol=1e-11, atol=1e-12)
        if method.name != "fedavg" or clients == 1:
            assert float(result.aggregation_error) < 1e-12
        else:
            assert float(result.aggregation_error) > 1e-3


def test_known_average_of_three_clients_with_unequal_weights():
    server = Adapter(np.zeros((2, 1)), np.ones((1, 1)))
    A = np.array([[[1.0], [0.0]], [[0.0], [1.0]], [[4.0], [2.0]]])
    B = np.array([[[1.0]], [[2.0]], [[3.0]]])
    result = aggregate(FedAvgLoRA(), server, ClientFactors(A=A, B=B), [1, 2, 1], 1)
    assert result.adapter.A.tolist() == [[1.25], [1.0]]
    assert result.adapter.B.tolist() == [[2.0]]
    # mean(A_k B_k) = (1·1·1 + 2·0·2 + 1·4·3)/4 = 13/4 and (0 + 2·1·2 + 1·2·3)/4 = 10/4
    assert float(result.aggregation_error) == pytest.approx(np.hypot(2.5 - 3.25, 2.0 - 2.5))


def test_scale_enters_the_aggregation_error_once():
    server, A, B = setup(scale=1.0)
    one = aggregate(FedAvgLoRA(), server, ClientFactors(A=A, B=B), SIZES, 1).aggregation_error
    scaled = Adapter(server.A, server.B, -8.0)
    eight = aggregate(FedAvgLoRA(), scaled, ClientFactors(A=A, B=B), SIZES, 1).aggregation_error
    assert float(eight) == pytest.approx(8.0 * float(one))


def test_merged_change_counts_in_the_aggregation_error():
    server, A, B = setup()
    came = ClientFactors(A=A, B=B)
    plain = aggregate(FedAvgLoRA(), server, came, SIZES, 1)
    p = plain.weights
    gap = sum(p[k] * server.scale * A[k] @ B[k] for k in range(3)) - plain.adapter.delta()
    repaired = Aggregate(plain.adapter, server, came, p, merged=gap)
    assert float(repaired.aggregation_error) < 1e-13
    transposed_by_mistake = Aggregate(plain.adapter, server, came, p, merged=np.zeros_like(gap))
    assert float(transposed_by_mistake.aggregation_error) > 0.1


@pytest.mark.parametrize("factor", [Factor.A, Factor.B])
def test_error_is_right_where_a_rule_moves_the_factor_nobody_trained(factor):
    """A rule may send down another A than the one it broadcast (an SVD re-split, say)."""
    server, A, B = setup(5)
    came = ClientFactors(A=A) if factor is Factor.A else ClientFactors(B=B)
    p = client_weights(SIZES, 3)
    moved = Adapter(server.A + 1.0, server.B - 2.0, server.scale)
    result = Aggregate(moved, server, came, p)
    literal = literal_error(result, server, came.A, came.B, SIZES)
    assert float(result.aggregation_error) == pytest.approx(literal, rel=1e-12)


def test_small_errors_keep_their_digits():
    """Clients 1e-6 apart: the error is 1e-12 of the product, at the rounding of float64 but not below
    it, as it would be if squares of the products' norms were subtracted."""
    rng = np.random.default_rng(0)
    server, _, _ = setup(1, d_in=60, rank=1, d_out=50)
    drift = 1e-6
    A = server.A + drift * rng.standard_normal((4, 60, 1))
    B = server.B + drift * rng.standard_normal((4, 1, 50))
    result = aggregate(FedAvgLoRA(), server, ClientFactors(A=A, B=B), None, 1)
    dA, dB = A - A.mean(0), B - B.mean(0)
    interference = server.scale * np.linalg.norm(np.mean(dA @ dB, axis=0))
    assert float(result.aggregation_error) == pytest.approx(interference, rel=1e-2)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_phase_is_a_function_of_the_round_alone(method):
    expected = {
        "fedavg": [BOTH] * 6,
        "ffa": [ONLY_B] * 6,
        "rolora": [ONLY_B, ONLY_A] * 3,
        "a-heavy": [ONLY_B, ONLY_A, ONLY_A, ONLY_A, ONLY_B, ONLY_A],
        "b-heavy": [ONLY_B, ONLY_B, ONLY_B, ONLY_A, ONLY_B, ONLY_B],
        "rolora-then-ffa:20": [ONLY_B, ONLY_A, ONLY_B, ONLY_B, ONLY_B, ONLY_B],
        "ffa-then-rolora:20": [ONLY_B, ONLY_B, ONLY_B, ONLY_A, ONLY_B, ONLY_A],
    }[method.name]
    asked = [method.trainable(t) for t in range(1, 7)]
    assert asked == expected
    # Asking again, out of order or many times (an evaluation, a client that sat out), moves nothing.
    for t in (6, 1, 1, 3, 2, 2, 5):
        assert method.trainable(t) == expected[t - 1]
        assert method_named(method.name, rounds=6).trainable(np.int64(t)) == expected[t - 1]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_first_round_moves_the_product_from_the_usual_start(method):
    server, _, _ = setup()
    server = Adapter(server.A, np.zeros_like(server.B), server.scale)
    # One gradient step from B = 0: dΔW/dA vanishes, so a first round that trains A alone stands still.
    rng = np.random.default_rng(1)
    G = rng.standard_normal((3, D_IN, D_OUT))  # each client's gradient in W
    A = server.A - 0.1 * np.stack([g @ server.B.T for g in G])
    B = server.B - 0.1 * np.stack([server.A.T @ g for g in G])
    result = aggregate(method, server, sent(method, 1, A, B), None, 1)
    assert np.linalg.norm(result.adapter.delta()) > 1e-3


@given(
    order=st.permutations(range(5)),
    seed=st.integers(0, 10_000),
    round=st.integers(1, 2),
    name=st.sampled_from(["fedavg", "ffa", "rolora"]),
)
@settings(max_examples=60, deadline=None)
def test_order_of_clients_does_not_matter(order, seed, round, name):
    method = method_named(name)
    server, A, B = setup(seed, clients=5)
    sizes = np.random.default_rng(seed).uniform(0.1, 9.0, 5)
    one = aggregate(method, server, sent(method, round, A, B), sizes, round)
    order = list(order)
    two = aggregate(method, server, sent(method, round, A[order], B[order]), sizes[order], round)
    np.testing.assert_allclose(one.adapter.A, two.adapter.A, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(one.adapter.B, two.adapter.B, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(one.aggregation_error, two.aggregation_error, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 1.0), round=st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_aggregation_is_linear_in_the_weights(seed, share, round):
    rng = np.random.default_rng(seed)
    p, q = (w / w.sum() for w in rng.uniform(0.01, 1.0, (2, 4)))
    for method in METHODS:
        server, A, B = setup(seed, clients=4)
        came = sent(method, round, A, B)
        mixed = aggregate(method, server, came, share * p + (1 - share) * q, round).adapter
        from_p = aggregate(method, server, came, p, round).adapter
        from_q = aggregate(method, server, came, q, round).adapter
        for factor in method.trainable(round):
            np.testing.assert_allclose(
                mixed.factor(factor),
                share * from_p.factor(factor) + (1 - share) * from_q.factor(factor),
                rtol=1e-12,
                atol=1e-13,
            )


@given(seed=st.integers(0, 10_000), factor=st.floats(1e-300, 1e300))
@settings(max_examples=40, deadline=None)
def test_only_the_ratio_of_sizes_counts(seed, factor):
    sizes = np.random.default_rng(seed).uniform(0.5, 2.0, 6)
    np.testing.assert_allclose(client_weights(sizes * factor, 6), sizes / sizes.sum(), rtol=1e-12)


@given(
    seed=st.integers(0, 10_000),
    clients=st.integers(1, 6),
    name=st.sampled_from(["fedavg", "ffa", "rolora"]),
    round=st.integers(1, 2),
    batched=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_numpy_and_torch_agree(seed, clients, name, round, batched):
    method = method_named(name)
    server, A, B = setup(seed, clients, batch=(2,) if batched else ())
    sizes = np.random.default_rng(seed).uniform(0.1, 9.0, clients)
    plain = aggregate(method, server, sent(method, round, A, B), sizes, round)
    t_server = Adapter(torch.tensor(server.A), torch.tensor(server.B), server.scale)
    came = sent(method, round, torch.tensor(A), torch.tensor(B))
    tensors = aggregate(method, t_server, came, torch.tensor(sizes), round)
    assert isinstance(tensors.adapter.A, torch.Tensor)
    assert tensors.adapter.A.dtype == torch.float64
    # The same sums in the same order: the same bits.
    assert np.array_equal(plain.adapter.A, tensors.adapter.A.numpy())
    assert np.array_equal(plain.adapter.B, tensors.adapter.B.numpy())
    np.testing.assert_allclose(
        plain.aggregation_error, tensors.aggregation_error.numpy(), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_leading_axes_are_independent_trials(method):
    server, A, B = setup(2, clients=4, batch=(3, 2))
    for round in (1, 2):
        whole = aggregate(method, server, sent(method, round, A, B), [1, 2, 3, 4], round)
        assert whole.aggregation_error.shape == (3, 2)
        for trial in np.ndindex(3, 2):
            alone = aggregate(
                method,
                Adapter(server.A[trial], server.B[trial], server.scale),
                sent(method, round, A[(slice(None), *trial)], B[(slice(None), *trial)]),
                [1, 2, 3, 4],
                round,
            )
            assert np.array_equal(whole.adapter.A[trial], alone.adapter.A)
            assert np.array_equal(whole.adapter.B[trial], alone.adapter.B)
            np.testing.assert_allclose(
                whole.aggregation_error[trial], alone.aggregation_error, rtol=1e-9, atol=1e-12
            )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    """1000 clients at 1.0 and one at 0: a bfloat16 running sum would stall far below the mean."""
    clients = 1001
    B = torch.ones((clients, 2, 3), dtype=dtype)
    B[0] = 0
    server = Adapter(torch.ones((4, 2), dtype=dtype), torch.zeros((2, 3), dtype=dtype))
    result = aggregate(RoLoRA(), server, ClientFactors(B=B), None, 1)
    assert result.adapter.B.dtype == dtype
    exact = B.double().mean(0)
    spacing = torch.finfo(dtype).eps / 2
    assert float((result.adapter.B.double() - exact).abs().max()) <= spacing
    running = torch.zeros((2, 3), dtype=dtype)
    for k in range(clients):
        running = running + B[k] / clients
    assert float((running.double() - exact).abs().max()) > 10 * spacing
    # The error reported is the rounding of the float32 mean to the 16-bit type.
    assert result.aggregation_error.dtype == torch.float32
    single = sum(B[k].float() * (1 / clients) for k in range(clients))
    literal = torch.linalg.matrix_norm(server.A.float() @ (result.adapter.B.float() - single))
    assert float(result.aggregation_error) == pytest.approx(float(literal), abs=1e-6)


def test_numpy_float32_stays_float32():
    server, A, B = setup()
    server = Adapter(server.A.astype(np.float32), server.B.astype(np.float32), 2.0)
    came = ClientFactors(A=A.astype(np.float32), B=B.astype(np.float32))
    result = aggregate(FedAvgLoRA(), server, came, SIZES, 1)
    assert result.adapter.A.dtype == result.adapter.B.dtype == np.float32
    assert result.aggregation_error.dtype == np.float32


def test_clients_stacks_are_not_written_to():
    server, A, B = setup()
    before = A.copy(), B.copy(), server.A.copy(), server.B.copy()
    for method in METHODS:
        for round in (1, 2):
            aggregate(method, server, sent(method, round, A, B), SIZES, round)
    for now, then in zip((A, B, server.A, server.B), before, strict=True):
        assert np.array_equal(now, then)


def test_a_frozen_factor_may_come_back_only_unchanged():
    server, _, B = setup()
    same = np.stack([server.A] * 3)
    result = aggregate(FFALoRA(), server, ClientFactors(A=same, B=B), SIZES, 1)
    assert result.adapter.A is server.A
    assert float(result.aggregation_error) < 1e-13
    changed = same.copy()
    changed[2, 0, 0] = np.nextafter(changed[2, 0, 0], np.inf)
    with pytest.raises(ValueError, match="client 2 changed factor A, which is frozen in round 1"):
        aggregate(FFALoRA(), server, ClientFactors(A=changed, B=B), SIZES, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sick_client_is_named_with_round_and_tensor(bad):
    server, _, B = setup()
    B[1, 2, 3] = bad
    with pytest.raises(
        ValueError, match="client 1 sent a NaN or infinite value in factor B in round 7"
    ):
        aggregate(RoLoRA(), server, ClientFactors(B=B), SIZES, 7)
    # A weight of zero does not excuse it: 0 × NaN is NaN.
    with pytest.raises(ValueError, match="client 1 "):
        aggregate(RoLoRA(), server, ClientFactors(B=B), [1, 0, 1], 7)
    with pytest.raises(ValueError, match=r"layer q: client 1 sent a NaN .* factor B in round 7"):
        aggregate_model(RoLoRA(), {"q": server}, {"q": ClientFactors(B=B)}, SIZES, 7)


def test_a_whole_model_is_its_layers():
    layers = {name: setup(seed) for seed, name in enumerate(("q", "v"))}
    server = {name: s for name, (s, _, _) in layers.items()}
    clients = {name: ClientFactors(A=A, B=B) for name, (_, A, B) in reversed(layers.items())}
    result = aggregate_model(FedAvgLoRA(), server, clients, SIZES, 1)
    assert list(result) == ["q", "v"]
    for name, (s, A, B) in layers.items():
        alone = aggregate(FedAvgLoRA(), s, ClientFactors(A=A, B=B), SIZES, 1)
        assert np.array_equal(result[name].adapter.A, alone.adapter.A)
    with pytest.raises(ValueError, match="layers, differing in \\['v'\\]"):
        aggregate_model(FedAvgLoRA(), server, {"q": clients["q"]}, SIZES, 1)


def test_frozen_tensors_of_a_model_do_not_change_over_rounds():
    server = {name: setup(seed)[0] for seed, name in enumerate(("q", "v"))}
    for round in range(1, 6):
        clients = {}
        for seed, name in enumerate(server):
            _, A, B = setup(100 * round + seed)
            clients[name] = sent(RoLoRA(), round, A, B)
        after = aggregate_model(RoLoRA(), server, clients, SIZES, round)
        for name in server:
            frozen = Factor.A if round % 2 else Factor.B
            assert after[name].adapter.factor(frozen) is server[name].factor(frozen)
        server = {name: a.adapter for name, a in after.items()}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adapter(np.ones((3, 2)), np.ones((3, 2))), "one rank"),
        (lambda: Adapter(np.ones(3), np.ones((3, 2))), "one rank"),
        (lambda: Adapter(np.ones((2, 3, 1)), np.ones((5, 1, 4))), "leading axes"),
        (lambda: Adapter(np.ones((3, 0)), np.ones((0, 2))), "not be empty"),
        (
            lambda: Adapter(np.ones((3, 1), int), np.ones((1, 2), int)),
            "floating dtype, got A int64",
        ),
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
        (lambda: RoLoRA().trainable(0), "counts from 1, got 0"),
        (lambda: RoLoRA().trainable(True), "counts from 1, got True"),
        (lambda: RoLoRA().trainable(1.0), "counts from 1, got 1.0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_bad_replies_are_refused():
    server, A, B = setup()
    with pytest.raises(ValueError, match="factor B is trained in round 1, but no client sent it"):
        aggregate(RoLoRA(), server, ClientFactors(A=A), None, 1)
    with pytest.raises(ValueError, match=r"server's shape \(3, 4\), got \(3, 5\)"):
        aggregate(RoLoRA(), server, ClientFactors(B=np.ones((3, 3, 5))), None, 1)
    with pytest.raises(ValueError, match="server's dtype float64, got float32"):
        aggregate(RoLoRA(), server, ClientFactors(B=B.astype(np.float32)), None, 1)
    with pytest.raises(ValueError, match="of one library"):
        aggregate(RoLoRA(), server, ClientFactors(B=torch.tensor(B)), None, 1)
    with pytest.raises(ValueError, match="weights"):
        aggregate(RoLoRA(), server, ClientFactors(B=B), [1, 2], 1)
