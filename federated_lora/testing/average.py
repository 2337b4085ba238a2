"""Cases about the mean: exact or best where promised, the scale, agreement of all clients."""

import numpy as np

from federated_lora.adapter import Adapter, Factor
from federated_lora.averaging import Average
from federated_lora.testing.case import Case, differ, one_model, products, size_of, stepped
from federated_lora.testing.settings import Setting, numpy_of
from federated_lora.testing.subject import Subject


def _exact(subject: Subject, setting: Setting) -> str | None:
    server, clients, after = stepped(subject, setting)
    share = setting.sizes / setting.sizes.sum()
    mean = np.tensordot(share, products(server, clients), axes=1)
    return differ(after.model(server), mean, size_of(server, clients), setting, "Σ p_k s A_k B_k")


def _best(subject: Subject, setting: Setting) -> str | None:
    server, clients, after = stepped(subject, setting)
    share = setting.sizes / setting.sizes.sum()
    mean = np.tensordot(share, products(server, clients), axes=1)
    least = np.asarray(np.linalg.norm(np.linalg.svd(mean, compute_uv=False)[server.shape.rank :]))
    made = np.asarray(np.linalg.norm(after.model(server) - mean))
    size = size_of(server, clients)
    return differ(made, least, size, setting, "distance from Σ p_k s A_k B_k to the best of rank r")


def _mixed(subject: Subject, setting: Setting) -> str | None:
    server = setting.started()
    rank = server.shape.rank
    ranks = tuple(1 + k % rank for k in range(len(setting.sizes)))
    stacks = {f: numpy_of(x) for f, x in setting.trained(server, subject.trainable(1)).items()}
    for k, own in enumerate(ranks):
        stacks[Factor.A][k, :, own:] = 0.0
        stacks[Factor.B][k, own:] = 0.0
    clients = {f: setting.array(x) for f, x in stacks.items()}
    after = subject.after(server, clients, setting.sizes, 1, ranks)
    share = setting.sizes / setting.sizes.sum()
    wanted = np.tensordot(share, products(server, clients), axes=1)
    if subject.average is Average.BEST:
        U, sigma, Vt = np.linalg.svd(wanted)
        wanted = (U[:, :rank] * sigma[:rank]) @ Vt[:rank]
    return differ(after.model(server), wanted, size_of(server, clients), setting, "ranks 1, 2, …")


def _agree(subject: Subject, setting: Setting) -> str | None:
    server = setting.started()
    trained = subject.trainable(1) | subject.personal
    one = {f: stack[:1] for f, stack in setting.trained(server, trained).items()}
    count = len(setting.sizes)
    clients = {f: setting.array(np.repeat(numpy_of(x), count, axis=0)) for f, x in one.items()}
    found = subject.after(server, clients, setting.sizes, 1).model(server)
    wanted = products(server, clients)
    wanted = wanted if subject.personal else wanted[0]
    return differ(found, wanted, size_of(server, clients), setting, "what all clients sent")


def _scale(subject: Subject, setting: Setting) -> str | None:
    server, clients, after = stepped(subject, setting)
    twice = Adapter(server.A, server.B, 2.0 * server.scale)
    again = subject.after(twice, clients, setting.sizes, 1).model(twice)
    size = 2.0 * size_of(server, clients)
    return differ(again, 2.0 * after.model(server), size, setting, "the model at twice the scale")


def _rectangular(subject: Subject, setting: Setting) -> str | None:
    server, clients, after = stepped(subject, setting)
    size = np.shape(products(server, clients)[0])
    shape = after.model(server).shape
    if shape[-2:] != size:
        return f"the model of a layer of {size[0]} inputs and {size[1]} outputs has shape {shape}"
    if after.merged is not None and tuple(after.merged.shape[-2:]) != size:
        return f"the change of W0 has shape {tuple(after.merged.shape)} in place of {size}"
    return None


def _type(subject: Subject, setting: Setting) -> str | None:
    server, _, after = stepped(subject, setting)
    for factor in Factor:
        made, held = after.adapter.factor(factor), server.factor(factor)
        if made.dtype != held.dtype or tuple(made.shape) != tuple(held.shape):
            return f"{factor} came back as {made.dtype} of shape {tuple(made.shape)}"
    return None


AVERAGES = (
    Case("exact-mean", "the model is Σ p_k s A_k B_k, to rounding", _exact, 5, one_model,
        lambda subject: subject.average is Average.EXACT),
    Case("best-of-rank-r", "no adapter of rank r is nearer to Σ p_k s A_k B_k", _best, 5, one_model,
        lambda subject: subject.average is Average.BEST),
    Case("mixed-ranks", "so it is where clients have ranks of their own", _mixed, 0,
        lambda subject: None if subject.mixed_ranks else "it needs clients of one rank"),
    Case("agreement", "where all clients send the same, that is the model", _agree, 7),
    Case("scale", "twice the scale s is twice the model", _scale, 5),
    Case("rectangular", "layers that are not square come out in their own orientation", _rectangular, 6),
    Case("type-and-shape", "factors come back in the server's type and shape", _type),
)  # fmt: skip
