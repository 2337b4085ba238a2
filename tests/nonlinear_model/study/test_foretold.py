"""What the linear model foretells of the map: the rounds as literal loops, the table, the counting."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nonlinear_model.claims import atlas_predicts_network
from nonlinear_model.data import mnist
from nonlinear_model.data.registry import load
from nonlinear_model.study import foretold, linear, table
from nonlinear_model.study.design import DESIGN, DIGITS, MAP, METHODS, point
from nonlinear_model.study.measure import configuration
from rolora.cli import app
from verification.budget import Budget
from verification.streams import generator
from verification.verdict import Verdict

CHECK = atlas_predicts_network.check


@pytest.fixture(scope="module")
def at():
    config = configuration(DESIGN, point(5, "5", dataset="digits"), "rolora", 2)
    return linear.at_the_start(config, 900, None)


def literal(at, A, G, pace, steps, moved):
    """One rate, client after client, gradients by autograd of the mean loss as the docstring has it."""
    root = torch.linalg.cholesky(at.F).mT  # any H with HᵀH = F: G is B times it
    found = []
    for S, C in zip(at.S, at.C, strict=True):
        a, b = A.clone(), torch.linalg.lstsq(root.mT, G.mT).solution.mT
        for _ in range(steps):
            a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
            made = a @ b @ root
            loss = ((made * (S @ made)).sum() - 2 * (made * C).sum()) / 2
            loss.backward()
            with torch.no_grad():
                a, b = a - pace * a.grad * ("A" in moved), b - pace * b.grad * ("B" in moved)
        found.append((a.detach(), (b @ root).detach()))
    return (torch.stack(each).mean(0) for each in zip(*found, strict=True))


def test_a_round_is_the_clients_own_gradient_steps(at):
    at = replace(at, F=at.F + 0.1 * torch.eye(10, dtype=torch.float64))  # so that it has a root
    pace = torch.tensor([0.001, 0.01], dtype=torch.float64)
    A, G = at.A.repeat(2, 1, 1), at.G.repeat(2, 1, 1)
    made = {
        "A": (linear.a_round(at, A, G, pace, 4), G),
        "B": (A, linear.b_round(at, A, G, pace, 4)),
        "AB": linear.both_round(at, A, G, pace, 4),
    }
    for moved, (a, g) in made.items():
        for i, rate in enumerate(pace):
            own_a, own_g = literal(at, at.A, at.G, rate, 4, moved)
            assert (a[i] - own_a).abs().max() < 1e-12
            assert (g[i] - own_g).abs().max() < 1e-12


def test_the_gradient_of_the_expanded_network_is_the_clients(at):
    """C/10 is minus the gradient of cross-entropy at equal logits, before the head: its mean over clients."""
    config = configuration(DESIGN, point(5, "5", dataset="digits"), "rolora", 2)
    _, _, x = linear._projected(config.dataset, None)
    data = load("digits")
    z = torch.zeros(data.train_y.size, 10, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(z, torch.from_numpy(data.train_y)).backward()
    parts = config.deal(data.train_y, generator(900, "nonlinear", "split"))
    own = torch.cat([z.grad[part] * data.train_y.size / part.size for part in parts])
    images = torch.cat([torch.from_numpy(x[part]) for part in parts])
    assert (images.mT @ own / len(parts) + at.C.mean(0) / 10).abs().max() < 1e-12


def stored(points):
    rows = table.read(foretold.PATH, foretold.COLUMNS)
    return [row for row in rows if table.point_of(row) in points]


@pytest.mark.fixed_seed
def test_digits_are_foretold_as_committed():
    assert_same(foretold.predicted(DIGITS, None), stored(DIGITS))


@pytest.mark.fixed_seed
def test_mnist_is_foretold_as_committed():
    folders = (os.environ.get("ROLORA_DATA_DIR"), Path(__file__).parents[3] / "shared/data")
    found = [folder for given in folders if given and (folder := mnist.find_folder(Path(given)))]
    if not found:
        pytest.skip("expected: no MNIST files on this machine")
    one = [point(5, "5")]
    assert_same(foretold.predicted(one, found[0]), stored(one))


def assert_same(made, committed):
    assert len(made) == len(committed) > 0
    for one, other in zip(made, committed, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            close = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            assert one[name] == close


def test_the_table_is_whole():
    rows = table.read(foretold.PATH, foretold.COLUMNS)
    keys = [(table.point_of(row), row["method"], row["length"]) for row in rows]
    wanted = {(p, m, n) for p in foretold.POINTS for m in METHODS for n in DESIGN.lengths(p, m)}
    assert len(keys) == len(wanted)
    assert set(keys) == wanted
    facts = table.manifest(foretold.PATH)
    assert facts["sha256"] == table.checksum(foretold.PATH)
    assert facts["rule"]["seeds"] == list(foretold.SEEDS)
    assert not set(foretold.SEEDS) & set(DESIGN.seeds)


def test_a_cell_is_a_point_an_equality_and_a_pair():
    cells = foretold.cells()
    assert len(cells) == len(MAP) * 2 * 3 == 90
    assert {c.won for c in cells} | {c.told for c in cells} <= {*METHODS, ""}
    for c in cells:
        assert c.won == c.pair[c.lead < 0]
        assert c.told in ("", c.pair[c.margin < 0])


@pytest.mark.parametrize(
    ("excess", "told"),
    [
        ((1.0, 2.0), "rolora"),
        ((2.0, 1.0), "ffa"),
        ((1.0, 1.0), ""),
        ((float("inf"), 1.0), "ffa"),
        ((float("inf"), float("inf")), ""),
    ],
)
def test_the_lower_excess_wins(excess, told):
    assert foretold.winner(("rolora", "ffa"), excess)[0] == told


def counted(monkeypatch, told, guess="fedavg", high=2.0):
    """The claim's verdict where 60 cells are won by rolora, told as given."""
    cell = foretold.Cell(
        MAP[0], "rounds", ("rolora", "fedavg"), "", 1.0, guess, "rolora", 1.0, 0.5, high
    )
    made = tuple(replace(cell, told=name) for name in told)
    monkeypatch.setattr(foretold, "cells", lambda _points: made)
    return CHECK(Budget())


def test_verdicts_on_made_up_counts(monkeypatch):
    right, wrong = ["rolora"] * 60, ["fedavg"] * 60
    assert counted(monkeypatch, right).verdict is Verdict.SUPPORTED
    assert counted(monkeypatch, wrong, "rolora").verdict is Verdict.REFUTED
    assert counted(monkeypatch, right[:30] + wrong[:30]).verdict is not Verdict.SUPPORTED
    only_half = counted(monkeypatch, right, "rolora")  # it never leaves the guess
    assert only_half.verdict is Verdict.HOLDS_UNDER
    assert "more than half over a coin; open over the guess" in only_half.added_assumption
    monkeypatch.setattr(foretold, "cells", lambda _points: ())
    assert CHECK(Budget()).verdict is Verdict.UNDECIDED


def test_the_page_quotes_the_counts():
    page = (Path(__file__).parents[3] / "docs/network-study.md").read_text(encoding="utf-8")
    every = foretold.cells()
    decided = [c for c in every if c.decided]
    for words, name in (("linear model", "told"), ("guess without features", "guess")):
        told = [
            f"{sum(getattr(c, name) == c.won for c in own)} of {len(own)}"
            for own in (decided, every)
        ]
        assert f"| the {words} | {' | '.join(told)} |" in page
        assert name == "guess" or f"right in {told[0]} decided cells" in CHECK.exact
    differ = [c for c in decided if c.told != c.guess]
    both = f"{sum(c.told == c.won for c in differ)} of {len(differ)}"
    assert f"right in {both} cells" in page
    assert CHECK.exact.endswith(f"right in {both}")
    best = [
        sum(row["constant"] for row in atlas_predicts_network._by_kind(own))
        for own in (decided, every)
    ]
    assert f"with hindsight | {best[0]} of {len(decided)} | {best[1]} of {len(every)} |" in page


@pytest.mark.fixed_seed
def test_the_command_writes_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(foretold, "POINTS", DIGITS[:1])
    words = ["nonlinear", "foretell", "--out", str(tmp_path), "--quiet"]
    assert CliRunner().invoke(app, words).exit_code == 0
    path = tmp_path / foretold.PATH.name
    assert_same(table.read(path, foretold.COLUMNS), stored(DIGITS[:1]))
    assert table.manifest(path)["sha256"] == table.checksum(path)
