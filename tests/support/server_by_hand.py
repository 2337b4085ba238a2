"""What a server makes of one layer's factors, client by client: of numpy arrays or torch tensors."""


def mean(p, values):
    return sum(float(share) * value for share, value in zip(p, values, strict=True))


def kept(p, who, sent, before, own):
    """A tensor of every client after the round: its own, or the mean."""
    if not own:
        return [mean(p, sent)] * len(before)
    returned = dict(zip(who, sent, strict=True))
    return [returned.get(k, value) for k, value in enumerate(before)]


def averaged(name, p, who, sent, A, B, W, s=1.0):
    """Every client's A and B, W and the aggregation error after `who` sent pairs of weights `p`."""
    own_A, own_B = zip(*sent, strict=True)
    exact = mean(p, [a @ b for a, b in sent])
    A, B = kept(p, who, own_A, A, False), kept(p, who, own_B, B, name == "fedsa")
    now = mean(p, [A[k] @ B[k] for k in who])
    if name == "fedex":
        return A, B, W + s * (exact - now), 0.0
    return A, B, W, float(s * ((now - exact) ** 2).sum() ** 0.5)
