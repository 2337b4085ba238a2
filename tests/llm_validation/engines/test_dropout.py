"""Dropout's masks: whose they are, and what they depend on."""

import numpy as np
import pytest
import torch

from llm_validation.base.encoding import Encoded, collate
from llm_validation.layers.dropout import (
    LEVELS,
    ClientDropout,
    Pass,
    PassHolder,
    drawn,
    dropped_levels,
    scale_of,
)

P, WIDTH, LAYERS = 0.3, 40, 3
CPU = torch.device("cpu")


def data(left, lengths=(3, 9, 5, 7, 2, 6)):
    ids = tuple(np.arange(1, n + 1) for n in lengths)
    prompt = np.ones(len(ids), dtype=np.int64) if left else None
    return Encoded(ids, None, np.zeros(len(ids), dtype=np.int64), prompt)


def masks(left, rows, seeds):
    batch = collate(data(left), [np.array(r) for r in rows], 0)
    return batch, drawn(batch, seeds, LAYERS, WIDTH, P, CPU).unflatten(1, (len(rows), -1))


@pytest.mark.parametrize("left", [False, True])
def test_a_clients_mask_does_not_depend_on_who_shares_the_pass(left):
    _, alone = masks(left, [[0, 2]], [7])
    batch, shared = masks(left, [[1, 3, 5], [0, 2], [4]], [8, 7, 9])
    own = slice(9 - 5, 9) if left else slice(0, 5)
    assert torch.equal(shared[:, 1, :2, own], alone[:, 0])
    outside = shared[:, 1].clone()
    outside[:, :2, own] = False
    assert not outside.any()  # padding is dropped
    assert batch.lengths == (9, 5, 2)


def test_clients_and_layers_have_masks_of_their_own():
    _, found = masks(False, [[1], [1]], [7, 8])
    flat = found.flatten(0, 1).flatten(1).double()
    correlations = torch.corrcoef(flat).fill_diagonal_(0.0).abs()
    assert correlations.max() < 5.0 / flat.shape[1] ** 0.5
    _, again = masks(False, [[1], [1]], [7, 7])
    assert torch.equal(again[:, 0], again[:, 1])


def test_the_mean_stays():
    batch = collate(data(False, (400,) * 6), [np.arange(6)], 0)
    mask = drawn(batch, [3], 20, 64, P, CPU)
    kept = 1.0 - dropped_levels(P) / LEVELS
    assert kept * scale_of(P) == pytest.approx(1.0, abs=1e-15)
    assert abs(kept - (1.0 - P)) <= 0.5 / LEVELS
    error = (kept * (1.0 - kept) / mask.numel()) ** 0.5
    assert abs(float(mask.double().mean()) - kept) < 4.5 * error
    assert error < 5e-4


def test_one_draw_serves_all_layers_and_the_gradient_meets_the_same_mask():
    holder = PassHolder()
    layers = [ClientDropout(P, WIDTH, holder) for _ in range(LAYERS)]
    wide = ClientDropout(P, 2 * WIDTH, holder)
    batch = collate(data(False), [np.array([1, 3])], 0)
    holder.now = Pass(batch, (5,))
    x = torch.randn(2, 9, WIDTH, dtype=torch.float64, requires_grad=True)
    made = [layer(x) for layer in layers]
    expected = drawn(batch, (5,), LAYERS, WIDTH, P, CPU)
    for out, mask in zip(made, expected, strict=True):
        assert torch.equal(out, torch.where(mask, x * scale_of(P), 0.0))
    made[2].sum().backward()
    assert torch.equal(x.grad, expected[2].double() * scale_of(P))
    assert wide(torch.ones(2, 9, 2 * WIDTH)).shape[-1] == 2 * WIDTH
    assert set(holder.now.masks) == {WIDTH, 2 * WIDTH}
    # Of a pooled first token, the first token's entries.
    assert torch.equal(layers[0](x[:, 0]), made[0][:, 0])
    layers[0].eval()
    assert layers[0](x) is x


def test_layers_that_are_given_one_input_share_its_cast():
    holder, x = PassHolder(), torch.ones(3, dtype=torch.bfloat16)
    assert holder.cast(x, torch.bfloat16) is x
    assert holder.cast(x, torch.float32) is not holder.cast(x, torch.float32)
    holder.now = Pass(collate(data(False), [np.array([0])], 0))
    assert holder.cast(x, torch.float32) is holder.cast(x, torch.float32)
    assert holder.cast(x + 1, torch.float32)[0] == 2.0
