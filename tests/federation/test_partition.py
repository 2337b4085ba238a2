import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation import partition


def rng(seed=0):
    return np.random.default_rng(seed)


def covers(parts, examples):
    return np.array_equal(np.sort(np.concatenate(parts)), np.arange(examples))


@given(examples=st.integers(1, 300), clients=st.integers(1, 40), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_iid_covers_everything_in_even_sizes(examples, clients, seed):
    if examples < clients:
        with pytest.raises(ValueError, match="clients must not exceed"):
            partition.iid(examples, clients, rng(seed))
        return
    parts = partition.iid(examples, clients, rng(seed))
    sizes = [part.size for part in parts]
    assert covers(parts, examples)
    assert max(sizes) - min(sizes) <= 1


def test_iid_follows_the_proportions():
    parts = partition.iid(1000, 3, rng(), proportions=[1, 2, 7])
    assert [abs(p.size - e) <= 1 for p, e in zip(parts, [100, 200, 700], strict=True)] == [True] * 3
    assert covers(parts, 1000)


def test_shards_give_the_papers_two_splits():
    labels = rng(1).integers(0, 10, 5000)
    for clients, each in ((5, 2), (10, 1)):
        parts = partition.shards(labels, clients, each, rng(2))
        held = [set(labels[part]) for part in parts]
        assert all(len(h) == each for h in held)
        assert set.union(*held) == set(range(10))
        assert sum(len(h) for h in held) == 10
        assert covers(parts, 5000)


def test_a_shared_label_is_split_evenly():
    labels = np.repeat([0, 1], [60, 90])
    parts = partition.shards(labels, 6, 1, rng())
    assert sorted(part.size for part in parts) == [20, 20, 20, 30, 30, 30]
    assert covers(parts, 150)


@given(alpha=st.floats(0.2, 1e3), clients=st.integers(1, 12), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_dirichlet_covers_everything(alpha, clients, seed):
    labels = rng(seed).integers(0, 4, 400)
    parts = partition.dirichlet(labels, clients, alpha, rng(seed))
    assert covers(parts, 400)
    assert min(part.size for part in parts) >= 1


def test_dirichlet_is_uneven_for_small_alpha_and_even_for_large():
    labels = np.tile(np.arange(5), 2000)

    def unevenness(alpha):
        parts = partition.dirichlet(labels, 8, alpha, rng(3))
        share = np.array([np.bincount(labels[p], minlength=5) for p in parts]) / 2000
        return np.abs(share - 1 / 8).max()

    assert unevenness(1e5) < 0.01 < 0.3 < unevenness(0.1)


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    labels = rng(1).integers(0, 10, 500)
    for split in (
        lambda r: partition.iid(500, 7, r),
        lambda r: partition.shards(labels, 5, 2, r),
        lambda r: partition.dirichlet(labels, 5, 0.5, r),
    ):
        first, again, other = split(rng(4)), split(rng(4)), split(rng(5))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (lambda: partition.iid(5, 0, rng()), "clients must be at least 1"),
        (lambda: partition.iid(5, 6, rng()), "clients must not exceed the number of examples"),
        (lambda: partition.iid(5, 2, rng(), proportions=[1, 0]), "proportions must be 2 positive"),
        (lambda: partition.iid(5, 2, rng(), proportions=[1, 2, 3]), "proportions must be 2"),
        (lambda: partition.shards(np.arange(10) % 2, 4, 3, rng()), "labels_per_client must lie"),
        (lambda: partition.shards(np.arange(10) % 2, 4, 0, rng()), "labels_per_client must lie"),
        (lambda: partition.shards(np.arange(10), 3, 2, rng()), "belong to nobody"),
        (
            lambda: partition.shards(np.array([0, 1, 1, 1]), 4, 1, rng()),
            "too few for the 2 clients",
        ),
        (lambda: partition.shards(np.ones(4), 2, 1, rng()), "integer array"),
        (lambda: partition.dirichlet(np.arange(9) % 3, 3, 0.0, rng()), "alpha must be positive"),
        (lambda: partition.dirichlet(np.arange(9) % 3, 3, float("nan"), rng()), "alpha must be"),
        (lambda: partition.dirichlet(np.arange(9) % 3, 9, 0.01, rng()), "raise alpha"),
    ],
)
def test_bad_input_is_refused(split, message):
    with pytest.raises(ValueError, match=message):
        split()
