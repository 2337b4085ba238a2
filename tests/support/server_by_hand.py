"""What a server makes of one layer's factors, client by client: of numpy arrays or torch tensors."""

import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes

TRAINED = {
    "ffa": lambda t: "B",
    "fedsvd": lambda t: "B",
    "rolora": lambda t: "B" if t % 2 else "A",
    "two-to-one": lambda t: "B" if t % 3 else "A",
}
"""What is trained in a round by the methods that do not always train both."""


def like_rolora(name):
    return "rolora" if name.startswith("rolora") else name


def trained(name, number):
    """Letters of the factors that a method trains in a round."""
    return TRAINED.get(like_rolora(name), lambda _t: "AB")(number)


def moves(name, number, step):
    """Letters of the factors that a local step moves, counting from 0."""
    if name == "la-lora":
        return "AB"[step % 2 == 0]
    return trained(name, number)


def mean(p, values):
    return sum(float(share) * value for share, value in zip(p, values, strict=True))


def kept(p, who, sent, before, own):
    """A tensor of every client after the round: its own, or the mean."""
    if not own:
        return [mean(p, sent)] * len(before)
    returned = dict(zip(who, sent, strict=True))
    return [returned.get(k, value) for k, value in enumerate(before)]


def shaped(name, by_a, b, s=1.0):
    """A's gradient as the method's clients use it."""
    if name != "rolora-precond" or not bool((b != 0.0).any()):
        return by_a
    slope, b = np.asarray(by_a), s * np.asarray(b)
    damping = 1e-6 * np.sum(b * b) / len(b)
    made = np.linalg.solve(b @ b.T + damping * np.eye(len(b)), slope.T).T
    return torch.as_tensor(made) if isinstance(by_a, torch.Tensor) else made


def averaged(name, p, who, sent, A, B, W, s=1.0, past=None):
    """Every client's A and B, W and the aggregation error after `who` sent pairs of weights `p`.

    `past` is a dictionary of the layer's own, in which a method remembers.
    """
    own_A, own_B = zip(*sent, strict=True)
    exact = mean(p, [a @ b for a, b in sent])
    before = A[0], B[0]
    A, B = kept(p, who, own_A, A, False), kept(p, who, own_B, B, name == "fedsa")
    if name == "rolora-momentum" and bool((own_A[0] != before[0]).any()):
        carried = A[0] + 0.5 * past.get("moved", 0.0)
        A, past["moved"] = [carried] * len(A), carried - before[0]
    now = mean(p, [A[k] @ B[k] for k in who])
    if name == "fedex":
        return A, B, W + s * (exact - now), 0.0
    if name in DENSE:
        a, b, change = by_dense(name, p, sent, *before, exact)
        gap = a @ b + change - exact
        return [a] * len(A), [b] * len(A), W + s * change, float(s * (gap**2).sum() ** 0.5)
    return A, B, W, float(s * ((now - exact) ** 2).sum() ** 0.5)


def flexlora(p, sent, held, exact):
    U, sigma, Vt = np.linalg.svd(exact)
    r = held[0].shape[1]
    root = np.sqrt(np.append(sigma, np.zeros(r))[:r])
    wide = np.zeros((exact.shape[0], r)), np.zeros((r, exact.shape[1]))
    n = min(r, sigma.size)
    wide[0][:, :n], wide[1][:n] = U[:, :n], Vt[:n]
    return wide[0] * root, root[:, None] * wide[1], 0.0


def flora(p, sent, held, exact):
    return held[0], 0.0 * held[1], exact


def fedsvd(p, sent, held, exact):
    U, sigma, Vt = np.linalg.svd(held[0] @ mean(p, [b for _, b in sent]))
    r, n = held[0].shape[1], min(held[0].shape[1], sigma.size)
    b = np.zeros_like(held[1])
    b[:n] = sigma[:n, None] * Vt[:n]
    a = np.zeros_like(held[0])
    a[:, :n] = U[:, :n]
    assert n == r or not b[n:].any()
    return a, b, 0.0


def fedrot(p, sent, held, exact):
    turned = []
    for a, b in sent:
        Q, _ = orthogonal_procrustes(np.vstack([a, b.T]), np.vstack([held[0], held[1].T]))
        turned.append((a @ Q, Q.T @ b))
    return mean(p, [a for a, _ in turned]), mean(p, [b for _, b in turned]), 0.0


def lora_fair(p, sent, held, exact):
    a, b = (mean(p, values) for values in zip(*sent, strict=True))
    r = a.shape[1]
    root = np.sqrt(0.01 * np.sum(a * a) / r)
    system = np.vstack([a, root * np.eye(r)])
    target = np.vstack([exact - a @ b, np.zeros((r, b.shape[1]))])
    return a, b + np.linalg.lstsq(system, target, rcond=None)[0], 0.0


DENSE = {
    "flexlora": flexlora, "flora": flora, "fedsvd": fedsvd, "fedrot": fedrot, "lora-fair": lora_fair,
}  # fmt: skip
"""By dense matrices: A, B and what goes into W, of the pairs sent and the factors that were broadcast."""


def by_dense(name, p, sent, a, b, exact):
    """The same of numpy arrays or torch tensors."""
    if not isinstance(a, torch.Tensor):
        return DENSE[name](p, sent, (a, b), exact)
    plain = [(x.numpy(), y.numpy()) for x, y in sent]
    made = DENSE[name](p, plain, (a.numpy(), b.numpy()), exact.numpy())
    return tuple(torch.as_tensor(x) for x in made)


class ControlsByHand:
    """Control variates of one tensor, client by client; nothing for methods without any."""

    def __init__(self, name, start, clients):
        self.on = name.endswith("-cv")
        self.own, self.shared = [0.0 * start] * clients, 0.0 * start

    def correction(self, k):
        return self.shared - self.own[k] if self.on else 0.0

    def after(self, who, moved, length, weights):
        """`moved` is x − y_k of who took part, `length` is K η."""
        if self.on:
            for k, gap in zip(who, moved, strict=True):
                self.own[k] = self.own[k] - self.shared + gap / length
            self.shared = mean(weights, self.own)
