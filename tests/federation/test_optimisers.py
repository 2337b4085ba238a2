"""The stacked update rules against PyTorch's own optimisers, one client at a time."""

from itertools import product

import pytest
import torch

from federation.optimisers import Optimiser

RATES = {
    "one for all": lambda: 0.03,
    "one per replica": lambda: torch.tensor([0.01, 0.05], dtype=torch.float64),
}
STEPS = 8
OWN = torch.tensor([[8, 5, 1], [2, 7, 8]])
"""Local steps of each of 2 × 3 clients."""


def stacks(generator):
    shapes = {"A": (4, 2), "bias": (3,)}
    return {
        name: torch.randn(2, 3, *shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def together(rule, start, gradients, rate, rounds):
    """All clients at once; their states are kept between rounds."""
    moved = {name: value.clone() for name, value in start.items()}
    states = {name: rule.fresh(value, axes=2) for name, value in moved.items()}
    for turn, k in product(range(rounds), range(STEPS)):
        given = {name: value.clone() for name, value in gradients[turn][k].items()}
        rule.step(moved, given, states, rate, axes=2, moving=k < OWN)
    return moved


def one_by_one(rule, start, gradients, rate, rounds):
    """Each client with torch's optimiser and clipping."""
    result = {name: value.clone() for name, value in start.items()}
    for replica, client in product(range(2), range(3)):
        own = {name: value[replica, client].clone() for name, value in start.items()}
        alone = rule.reference(
            own.values(), float(torch.as_tensor(rate, dtype=torch.float64).expand(2)[replica])
        )
        for turn, k in product(range(rounds), range(int(OWN[replica, client]))):
            for name, value in own.items():
                value.grad = gradients[turn][k][name][replica, client].clone()
            if rule.clip:
                torch.nn.utils.clip_grad_norm_(own.values(), rule.clip)
            alone.step()
        for name, value in own.items():
            result[name][replica, client] = value
    return result


def gap(one, two):
    return max(float((one[name] - two[name]).abs().max()) for name in one)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("decay", "clip"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.7), (0.1, 0.7)])
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_every_rule_is_torchs_with_unequal_step_counts(name, decay, clip, rate):
    generator = torch.manual_seed(3)
    start = stacks(generator)
    gradients = [[stacks(generator) for _ in range(STEPS)] for _ in range(2)]
    rule, pace = Optimiser(name, weight_decay=decay, clip=clip), RATES[rate]()
    stacked = together(rule, start, gradients, pace, 2)
    # Of order 1 after at most 16 steps: 1e-12 is some thousand roundings.
    assert gap(stacked, one_by_one(rule, start, gradients, pace, 2)) < 1e-12
    for other in (
        Optimiser(name, weight_decay=decay + 0.01, clip=clip),
        Optimiser(name, weight_decay=decay, clip=0.0 if clip else 0.7),
        Optimiser("momentum" if name == "sgd" else "sgd", weight_decay=decay, clip=clip),
    ):
        assert gap(stacked, one_by_one(other, start, gradients, pace, 2)) > 1e-6


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_clients_own_states_join_into_a_stack_in_any_company(name):
    """Clients with 0, 1 and 2 steps behind them share a step; each moves as it would alone, to the bit."""
    rule, generator = Optimiser(name, weight_decay=0.1), torch.manual_seed(5)
    start = torch.randn(3, 4, generator=generator)
    gradients = torch.randn(3, 3, 4, generator=generator)
    alone, states = start.clone(), []
    for k in range(3):
        x, state = alone[k : k + 1], rule.fresh(start[k : k + 1], axes=1)
        for t in range(k):
            rule.step({"x": x}, {"x": gradients[t, k : k + 1].clone()}, {"x": state}, 0.1, axes=1)
        states.append({slot: value[0].clone() for slot, value in state.items()})
    stack, joined = alone.clone(), rule.joined(alone, [{}, *states[1:]])
    rule.step({"x": stack}, {"x": gradients[2].clone()}, {"x": joined}, 0.1, axes=1)
    for k in range(3):
        x = alone[k : k + 1]
        own = rule.joined(x, [states[k]])
        rule.step({"x": x}, {"x": gradients[2, k : k + 1].clone()}, {"x": own}, 0.1, axes=1)
    assert torch.equal(stack, alone)
    assert "step" not in joined or joined["step"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "adm"}, r"optimiser must be .*got 'adm'; did you mean 'adam'"),
        ({"state": "kept"}, "optimiser_state must be one of reset, keep, got 'kept'"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1\.0"),
        ({"beta2": float("nan")}, r"beta2 must lie in \[0, 1\), got nan"),
        ({"clip": -1.0}, r"clip must be at least 0 and finite, got -1\.0"),
        ({"weight_decay": float("inf")}, "weight_decay must be at least 0 and finite, got inf"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Optimiser(**wrong)
