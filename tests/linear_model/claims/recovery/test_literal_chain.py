"""Parts of the claims on small angles: the loop beside the chain, and probabilities by weighed rounds."""

import numpy as np
import pytest

from linear_model.claims.recovery import lemma_edge_at_finite_m as edge
from linear_model.claims.recovery.literal_chain import literal_angles
from theory.population import contraction_lemma
from theory.samples import finite_sample
from verification.budget import Budget
from verification.evidence import Evidence

SHAPE, KAPPA = (7, 2, 9), 0.7


def test_the_loop_is_the_chain_on_its_samples_and_a_wrong_chain_is_seen(monkeypatch) -> None:
    evidence = Evidence("small-angle-clt", Budget())
    angles, gap = literal_angles(evidence, SHAPE, KAPPA, 0.6, 3, 40, "test")
    assert angles.shape == (40, 4)
    assert angles[:, 0] == pytest.approx(0.6)
    assert 0.0 < gap < 1e-12
    right = finite_sample.b_scale
    monkeypatch.setattr(finite_sample, "b_scale", lambda *given: 1.001 * right(*given))
    again, wrong = literal_angles(evidence, SHAPE, KAPPA, 0.6, 3, 40, "test")
    np.testing.assert_array_equal(again, angles)
    assert wrong > 1e-4


@pytest.mark.parametrize("kappa", [0.9, 1.0, 1.1])
def test_weighed_probabilities_are_those_of_plain_rounds(kappa: float) -> None:
    shape, rng = (30, 2, 20), np.random.default_rng(6)
    found = edge._probabilities(rng, shape, kappa, 400)
    rounds = 60_000
    d, clients, samples = shape
    lengths = rng.chisquare(samples, (rounds, clients))
    rho = np.sqrt((1 / lengths).sum(axis=1)) / clients * rng.standard_normal(rounds)
    gamma = rng.chisquare(clients * samples, rounds) / (clients * samples)
    leak = np.sqrt(gamma / (clients * samples))
    across = leak * np.sqrt(rng.chisquare(d - 2, rounds))
    pull = finite_sample.pull_of_new_batch(rho, gamma, leak * rng.standard_normal(rounds), across)
    _, inside, beside = finite_sample.next_direction(1.0, 0.0, kappa, rho, pull)
    lemma = contraction_lemma.lemma_factor(1.0, kappa)
    share = np.mean(inside**2 + beside**2 > lemma)
    error = np.hypot(found.std() / 20, np.sqrt(share * (1 - share) / rounds))
    assert abs(found.mean() - share) < 5 * error
    assert 0.02 < share < 0.98
