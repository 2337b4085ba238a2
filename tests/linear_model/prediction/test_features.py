"""A linear model is found again in features drawn from it; what does not fit is told, bad ones refused."""

import numpy as np
import pytest

import rolora
from linear_model.prediction.features import estimate
from linear_model.prediction.setting import Setting

TARGETS = np.array([[1.4, 0.3], [0.9, -0.2], [0.7, -0.1]])


def drawn(samples=4_000, d=6, noise=0.2, size=3.0, shift=0.0, seed=0):
    """Clients of the linear model in stretched coordinates: X (m, d) and Y (m, 2)."""
    rng = np.random.default_rng(seed)
    stretch = np.diag(np.linspace(0.5, 4.0, d))
    a = rng.standard_normal(d)
    a /= np.linalg.norm(a)
    X, Y = [], []
    for number, target in enumerate(TARGETS):
        white = rng.standard_normal((samples, d)) * (1.0 + shift * (number - 1))
        X.append(white @ stretch)
        clean = size * np.outer(white @ a, target)
        Y.append(clean + size * noise * rng.standard_normal((samples, 2)))
    return X, Y


def test_the_model_that_features_were_drawn_from_is_found():
    found = estimate(*drawn())
    whole = np.linalg.norm(TARGETS.mean(axis=0))
    spread = np.sqrt(np.square(TARGETS - TARGETS.mean(axis=0)).sum(axis=1).mean())
    assert (found.values["d"], found.values["clients"], found.values["samples"]) == (6, 3, 4_000)
    assert found.values["outputs"] == 2
    assert found.values["noise"] == pytest.approx(0.2 / whole, rel=0.02)
    assert found.values["heterogeneity"] == pytest.approx(spread / whole, rel=0.03)
    assert found.seen["mean_target"] == pytest.approx(3.0 * whole, rel=0.03)
    assert found.seen["rank_one_share"] > 0.99
    assert found.seen["covariance_spread"] < 1.5
    assert np.linalg.norm(found.targets.mean(axis=0)) == pytest.approx(1.0)
    assert len(found.seen["warnings"]) == 1
    Setting(**found.values)


def test_the_noise_of_the_fits_is_not_taken_for_unlike_clients():
    X, _ = drawn(samples=60)
    rng = np.random.default_rng(1)
    Y = [x[:, :1] @ np.ones((1, 2)) + 2.0 * rng.standard_normal((60, 2)) for x in X]
    raw = estimate(X, Y)
    fits = [np.linalg.lstsq(x, y, rcond=None)[0] for x, y in zip(X, Y, strict=True)]
    assert np.ptp([fit[0, 0] for fit in fits]) > 0.0
    assert raw.values["heterogeneity"] < 0.8 * float(
        np.std([fit[0] for fit in fits], axis=0).max() * 2
    )


def test_what_the_model_leaves_out_is_told():
    assert any("covariances differ" in w for w in estimate(*drawn(shift=0.4)).seen["warnings"])
    X, Y = drawn(samples=5)
    assert any(
        "of 6 directions: its target is taken for 0" in w for w in estimate(X, Y).seen["warnings"]
    )
    rng = np.random.default_rng(2)
    two = [x @ rng.standard_normal((6, 2)) for x in drawn()[0]]
    assert any("in its first direction" in w for w in estimate(drawn()[0], two).seen["warnings"])


def test_noise_that_nothing_tells_is_said_and_arithmetic_is_no_noise():
    X, Y = drawn(samples=2)
    assert any("taken for 0" in w and "label noise" in w for w in estimate(X, Y).seen["warnings"])
    X, _ = drawn(samples=50)
    exact = estimate(X, [x[:, :1] @ np.ones((1, 2)) for x in X])
    assert (exact.values["noise"], exact.values["heterogeneity"]) == (0.0, 0.0)
    assert np.ptp(exact.targets, axis=0).max() == 0.0
    assert not any("label noise" in w for w in exact.seen["warnings"])


def test_a_direction_that_one_client_hardly_sees_does_not_blow_its_target_up():
    X, Y = drawn()
    faint = [X[0] * np.array([1, 1, 1, 1, 1, 1e-5]), *X[1:]]
    found = estimate(faint, Y)
    assert found.seen["least_seen_by_a_client"] == 5
    assert found.seen["mean_target"] == pytest.approx(estimate(X, Y).seen["mean_target"], rel=0.5)


def test_directions_that_are_always_zero_do_not_count():
    X, Y = drawn()
    wide = [np.hstack([x, np.zeros((len(x), 3))]) for x in X]
    assert estimate(wide, Y).values == pytest.approx(estimate(X, Y).values)


@pytest.fixture
def folder(tmp_path):
    for number, (x, y) in enumerate(zip(*drawn(), strict=True)):
        np.savez(tmp_path / f"client-{number}.npz", X=x, Y=y)
    return tmp_path


def test_a_folder_of_features_is_predicted(folder):
    found = rolora.predict(features=folder, eps=0.2, kappa=0.8)
    assert found.setting.d == 6
    assert found.setting.kappa == 0.8
    assert found.seen["directions"] == 6
    assert found.row("algorithm2").rounds.median is not None
    again = rolora.predict(features=folder, eps=0.2, kappa=0.8, samples=100)
    assert again.setting.samples == 100


def test_bad_features_are_refused_in_a_sentence(folder, tmp_path):
    X, Y = drawn(samples=20)
    cases = (
        (([], []), "one X and one Y a client, got 0 and 0"),
        ((X, Y[:2]), "got 3 and 2"),
        ((X, [y[:-1] for y in Y]), "a row of Y for each of X, got 19 and 20"),
        (([X[0], X[1], X[2][:, :4]], Y), "X of client 2 must be as wide"),
        (([X[0][0], *X[1:]], Y), "X of client 0 must be a matrix of finite numbers"),
        (([X[0] * np.nan, *X[1:]], Y), "X of client 0 must be a matrix of finite numbers"),
        ((X, [0.0 * y for y in Y]), "a mean target that is not 0"),
        (([1e200 * x for x in X], Y), "X of client 0 must be at most 1e\\+100 in size"),
        (([x[:, :1] for x in X], Y), "span at least 2 directions, got 1"),
    )
    for arrays, said in cases:
        with pytest.raises(ValueError, match=said):
            estimate(*arrays)
    for given, said in (
        ({"features": folder, "d": 5}, "d follows from the features, got 5"),
        ({"features": folder, "clients": 5}, "clients follows from the features"),
        ({"features": folder, "dataset": "digits"}, "give features or dataset"),
        ({"features": 3}, "a folder with an .npz file a client, got 3"),
        ({"features": tmp_path / "none"}, "a folder with an .npz file a client"),
        ({"dataset": "digits", "split": "odd"}, "split must be one of label, iid, got 'odd'"),
    ):
        with pytest.raises(ValueError, match=said):
            rolora.predict(**given)
    np.savez(folder / "client-3.npz", X=X[0])
    with pytest.raises(ValueError, match="must hold the arrays X and Y"):
        rolora.predict(features=folder)
    whole, bad = (folder / "client-0.npz").read_bytes(), folder / "client-3.npz"
    spoiled = whole[:200] + bytes(100) + whole[300:]
    for content in (b"no archive", b"", whole[:500], spoiled):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match=r"client-3\.npz cannot be read as \.npz") as told:
            rolora.predict(features=folder)
        assert "pickle" not in str(told.value)
    with bad.open("wb") as file:
        np.save(file, X[0])
    with pytest.raises(ValueError, match=r"cannot be read as \.npz"):
        rolora.predict(features=folder)


@pytest.mark.parametrize("split", ["label", "iid"])
def test_digits_are_dealt_and_predicted(split):
    pytest.importorskip("sklearn")
    found = rolora.predict(dataset="digits", clients=5, split=split, eps=0.3)
    assert found.setting.clients == 5
    assert found.setting.outputs == 10
    assert (found.setting.heterogeneity > 1.0) == (split == "label")
