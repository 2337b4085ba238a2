"""Data sets, splits and rate fits: what they give and what they refuse."""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nonlinear_model.configuration import Images
from nonlinear_model.data import digits, mnist
from nonlinear_model.data.registry import load
from nonlinear_model.data.splits import figure, label_counts, picture
from nonlinear_model.training import rates, sampling

REAL = next(
    (
        folder
        for given in (os.environ.get("ROLORA_DATA_DIR"), Path(__file__).parents[3] / "shared/data")
        if given and (folder := mnist.find_folder(Path(given)))
    ),
    None,
)


def idx(array):
    kind = {3: 2051, 1: 2049}[array.ndim]
    return struct.pack(f">{1 + array.ndim}i", kind, *array.shape) + array.tobytes()


@pytest.fixture
def tiny(tmp_path):
    """A folder with a made-up MNIST of 20 training and 10 test images."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 20), ("test", 10)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        with gzip.open(tmp_path / f"{mnist.FILES[part + '_x']}.gz", "wb") as file:
            file.write(idx(images))
        (tmp_path / mnist.FILES[part + "_y"]).write_bytes(idx(labels))
    return tmp_path


def test_reads_gzipped_and_plain_files_and_finds_the_folder(tiny, monkeypatch):
    data = load("mnist", tiny)
    assert data.train_x.shape == (20, 784)
    assert data.train_x.dtype == np.float32
    assert 0.0 <= data.train_x.min() <= data.train_x.max() <= 1.0
    assert data.classes == 10
    monkeypatch.setenv(mnist.DATA_DIR_VARIABLE, str(tiny))
    assert np.array_equal(load("mnist").test_y, data.test_y)


@pytest.mark.skipif(REAL is None, reason="expected: no MNIST files on this machine")
def test_real_mnist_is_itself():
    data = load("mnist", REAL)
    assert data.train_x.shape == (60000, 784)
    assert data.test_x.shape == (10000, 784)
    raw = gzip.decompress((REAL / (mnist.FILES["train_x"] + ".gz")).read_bytes())
    assert hashlib.md5(raw).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert np.array_equal(np.bincount(data.train_y)[:3], [5923, 6742, 5958])


def test_missing_files_say_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.delenv(mnist.DATA_DIR_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="ROLORA_DATA_DIR"):
        load("mnist")
    with pytest.raises(ValueError, match=str(tmp_path / "mnist")):
        load("mnist", tmp_path)


def changed(name, by):
    """A damage: a file's plain content changed, in the place of what was there."""

    def harm(folder):
        path, packed = folder / mnist.FILES[name], folder / f"{mnist.FILES[name]}.gz"
        raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
        packed.unlink(missing_ok=True)
        path.write_bytes(by(raw))

    return harm


def cut_gzip(folder):
    path = folder / (mnist.FILES["train_x"] + ".gz")
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (changed("test_x", lambda raw: raw[:-5]), "truncated"),
        (changed("test_x", lambda raw: raw[:6]), "truncated"),
        (changed("test_x", lambda raw: raw[:10]), "truncated"),
        (cut_gzip, "truncated"),
        (changed("test_x", lambda raw: raw + b"x"), "too long"),
        (changed("test_x", lambda raw: struct.pack(">i", 1) + raw[4:]), "number must be 2051"),
        (changed("test_x", lambda raw: idx(np.zeros(10, np.uint8))), "many images and labels"),
        (
            changed("test_y", lambda raw: idx(np.full(10, 255, dtype=np.uint8))),
            "t10k-labels.* must hold labels from 0 to 9, got 255",
        ),
    ],
)
def test_a_damaged_file_is_refused(tiny, harm, message):
    harm(tiny)
    with pytest.raises(ValueError, match=message):
        load("mnist", tiny)


def test_download_without_a_network_is_one_sentence(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="expected: the llm extra is not installed")

    def unreachable(name):
        raise ConnectionError("no network\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(ValueError, match=r"MNIST could not be downloaded: no network$"):
        mnist.load(tmp_path, download=True)


def test_digits_need_no_files_and_have_every_label_on_both_sides():
    data = digits.load()
    assert data.train_x.shape[0] + data.test_x.shape[0] == 1797
    assert set(data.train_y) == set(data.test_y) == set(range(10))


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["iid", "shards", "dirichlet"]),
    clients=st.integers(2, 12),
    seed=st.integers(0, 99),
)
def test_equal_sizes_are_equal_and_disjoint(kind, clients, seed):
    labels = np.random.default_rng(1).integers(0, 10, 600)
    rule = Images(split=kind, clients=clients, dirichlet_alpha=1.0, equal_sizes=True)
    parts = rule.deal(labels, np.random.default_rng(seed))
    assert len({part.size for part in parts}) == 1
    joined = np.concatenate(parts)
    assert np.unique(joined).size == joined.size


def test_pictures_of_a_split():
    labels = np.repeat([0, 1], [15, 10])
    counts = label_counts((np.arange(10), np.arange(10, 25)), labels, 2)
    assert counts.tolist() == [[10, 0], [5, 10]]
    assert picture(counts).splitlines()[1].startswith("     0 ██")
    axes = figure(counts, "split").axes[0]  # type: ignore[attr-defined]
    assert np.array_equal(axes.images[0].get_array(), counts)


def test_draws_are_epochs_without_repetition():
    part = np.arange(100, 130)
    rows = sampling.draw(0, 1, 2, part, 9, 10)  # three epochs
    for epoch in range(3):
        assert sorted(rows[3 * epoch : 3 * epoch + 3].ravel()) == list(part)
    again = sampling.draw(0, 1, 2, part, 9, 10)
    assert np.array_equal(rows, again)
    assert not np.array_equal(rows, sampling.draw(0, 2, 2, part, 9, 10))
    # With epochs, how many steps are drawn is the largest participant's number: it must not show.
    for steps in range(3, 9):
        assert np.array_equal(rows[:steps], sampling.draw(0, 1, 2, part, steps, 10))
    few = sampling.draw(0, 1, 2, part, 2, 10).ravel()
    assert np.unique(few).size == 20
    assert sampling.steps_of_epochs(np.array([1, 64, 65]), 2, 32).tolist() == [1, 4, 5]


def test_rates_of_known_curves_are_found_exactly():
    t = np.arange(1.0, 41.0)
    fit = rates.fit("geometric", t, 3.0 * 0.9**t)
    assert fit.rate == pytest.approx(0.9, rel=1e-12)
    assert fit.constant == pytest.approx(3.0, rel=1e-12)
    fit = rates.fit("power", t, 2.0 / np.sqrt(t), window=(10, 40))
    assert fit.rate == pytest.approx(0.5, rel=1e-12)
    assert fit.interval == pytest.approx((0.5, 0.5), abs=1e-9)


@pytest.mark.parametrize(("points", "rho", "least"), [(8, 0.0, 360), (50, 0.8, 300)])
def test_block_bootstrap_covers_a_noisy_rate(points, rho, least):
    """400 curves, 95 % nominal; `least` is 5 standard deviations or more below what is covered (97, 86 %)."""
    hits = 0
    t = np.arange(1.0, points + 1.0)
    for trial in range(400):
        rng = np.random.default_rng(trial)
        noise = rng.standard_normal(points + 50)
        for i in range(1, noise.size):
            noise[i] += rho * noise[i - 1]
        y = 0.97**t * np.exp(0.05 * noise[50:])
        low, high = rates.fit("geometric", t, y, rng=rng).interval
        hits += low <= 0.97 <= high
    assert hits >= least


def test_blocks_are_longer_where_neighbours_are_alike():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(200)
    smooth = np.cumsum(noise)
    assert rates.block_length(noise) <= 4
    assert 30 <= rates.block_length(smooth - smooth.mean()) <= 200 // 3
    assert rates.block_length(np.zeros(8)) == 2


@pytest.mark.parametrize(
    ("t", "y"),
    [
        (np.arange(5.0), np.ones(5)),
        (np.arange(1.0, 20.0), np.r_[np.ones(18), 0.0]),
        (np.arange(1.0, 20.0), np.r_[np.ones(18), np.nan]),
        (np.arange(0.0, 19.0), np.ones(19)),
        (np.arange(1.0, 20.0), np.ones(3)),
    ],
)
def test_rates_refuse_what_has_no_logarithm(t, y):
    with pytest.raises(ValueError):
        rates.fit("power", t, y)
