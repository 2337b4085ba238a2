"""Rounds in which every client steps with its own b: the chain against literal clients, and the maps."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.predict import Literal
from linear_model.prediction.chain import step
from linear_model.prediction.law import Law, draw_sums
from linear_model.prediction.passage import start
from linear_model.prediction.setting import Setting
from theory.other_methods import turns

ALPHA, TRIALS = 1e-6, 4_000
CASES = {
    "plain": {},
    "unlike": {"heterogeneity": 0.7, "outputs": 2},
    "all at once": {
        "heterogeneity": 0.7, "clients": 4, "outputs": 2, "noise": 0.4, "participation": 0.5,
        "privacy_noise": 0.1,
    },
    "local steps": {"local_steps": 3, "samples": 4, "noise": 0.3},
    "one sample, two dimensions": {"d": 2, "samples": 1, "noise": 0.3, "heterogeneity": 0.4},
}  # fmt: skip


@dataclass(eq=False)
class OwnFits(Literal):
    """Every client's a-step uses its own b."""

    own: str = "kept"

    def round(self):
        setting, a, targets = self.setting, self.a, self.setting.targets
        keys = self.rng.random((len(a), setting.clients))
        who = np.argsort(keys, axis=1)[:, : setting.active].T
        fits, moved = [], []
        for client in who:
            X, Y = self.samples(targets[client])
            fits.append(
                [np.linalg.lstsq(x @ v[:, None], y)[0][0] for x, y, v in zip(X, Y, a, strict=True)]
            )
        fits = np.array(fits)
        for client, b in zip(who, fits, strict=True):
            X, Y = self.samples(targets[client])
            own = a
            for _ in range(setting.local_steps):
                gap = np.einsum("tmd,td->tm", X, own)[..., None] * b[:, None, :] - Y
                pull = np.einsum("tmp,tp,tmd->td", gap, b, X)
                own = own - setting.kappa / setting.samples * pull
            moved.append(self.blurred(own))
        mean = np.mean(moved, axis=0)
        self.a = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        truth = np.eye(1, setting.d)[0]
        if self.own == "kept":
            gaps = [
                self.a[:, :, None] * b[:, None] - truth[:, None] * targets[client][:, None]
                for client, b in zip(who, fits, strict=True)
            ]
            error = np.mean([np.square(gap).sum(axis=(1, 2)) for gap in gaps], axis=0)
        else:
            b = np.mean([self.blurred(fit) for fit in fits], axis=0)
            gap = mean[:, :, None] * b[:, None] - truth[:, None] * targets.mean(axis=0)
            error = np.square(gap).sum(axis=(1, 2))
        return np.linalg.norm(self.a[:, 1:], axis=1), np.sqrt(error)


def setting_of(case):
    return Setting(**{"d": 6, "clients": 3, "samples": 5, "kappa": 0.8, "start": "0.8"} | case)


def chained(setting, own, rounds=2):
    law, rng = Law.of(setting, setting.targets, own=own), np.random.default_rng(7)
    c, s = start(rng, setting, TRIALS)
    found = []
    for _ in range(rounds):
        c, s, excess = step(rng, law, c, s, draw_sums(rng, law, TRIALS))
        found += [s, np.sqrt(excess)]
    return found


def literal(setting, own, rounds=2):
    begun = OwnFits.begun(setting, TRIALS, 3)
    model = replace(begun, own=own)
    return [values for _ in range(rounds) for values in model.round()]


@pytest.mark.parametrize("own", ["kept", "sent"])
@pytest.mark.parametrize("name", CASES)
def test_angle_and_error_have_the_law_of_literal_clients(name, own):
    setting = setting_of(CASES[name])
    for told, seen in zip(chained(setting, own), literal(setting, own), strict=True):
        assert stats.ks_2samp(told, seen).pvalue > ALPHA / (8 * len(CASES))


def test_the_shared_fit_is_seen_to_differ():
    setting = setting_of({**CASES["unlike"], "clients": 5, "heterogeneity": 1.0})
    law, rng = Law.of(setting, setting.targets), np.random.default_rng(7)
    c, s = start(rng, setting, TRIALS)
    shared = step(rng, law, c, s, draw_sums(rng, law, TRIALS))[1]
    assert stats.ks_2samp(shared, literal(setting, "sent", 1)[0]).pvalue < ALPHA


def test_on_many_samples_turns_follow_their_map():
    setting = setting_of({"samples": 10**9, "heterogeneity": 0.7, "outputs": 2, "local_steps": 2})
    targets = setting.targets
    kept = turns.kept_share(setting.kappa * np.square(targets).sum(axis=1), 0.6, 2)
    sine, error = (float(np.median(x)) for x in chained(setting, "sent", 1))
    tangent = turns.next_tangent(0.8 / 0.6, kept.mean())
    assert sine == pytest.approx(tangent / np.hypot(1.0, tangent), rel=1e-3)
    assert error**2 == pytest.approx(turns.excess(0.8, kept.mean(), 1.0), rel=1e-3)
