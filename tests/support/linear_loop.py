"""The linear model as a plain loop over trials and clients, each with its own dense W + A B."""

import numpy as np

from linear_model import Batches, Data
from linear_model.simulators.data import draw_samples
from tests.support.server_by_hand import ControlsByHand, averaged, moves, shaped, trained
from verification.streams import generator

SEED, ROUNDS, TRIALS = 4, 5, 3
K, ETA = 3, 0.03


class Samples:
    """The literal samples of each half-step, one list entry a client."""

    def __init__(self, problem):
        self.problem = problem
        self.rng = generator(SEED, "data samples", 0)
        self.who_rng = generator(SEED, "participants", 0)
        self.fixed = self.draw(problem.clients) if problem.data is Data.FIXED else None

    def draw(self, clients):
        return draw_samples(self.problem, self.rng, TRIALS, clients)

    def begin(self):
        problem = self.problem
        self.who = [list(range(problem.clients))] * TRIALS
        if problem.active < problem.clients:
            keys = self.who_rng.random((TRIALS, problem.clients))
            self.who = [sorted(np.argsort(row)[: problem.active].tolist()) for row in keys]
        self.now = None

    def half_step(self):
        problem = self.problem
        if self.now is not None and problem.batches is Batches.SHARED:
            return self.now
        X, E = self.fixed or self.draw(problem.active)
        self.now = [[] for _ in range(TRIALS)]
        for trial, pairs in enumerate(self.now):
            for place, client in enumerate(self.who[trial]):
                row = client if self.fixed else place
                x = X[trial, row]
                if problem.covariances is not None:
                    x = x @ np.linalg.cholesky(problem.covariances[client]).T
                y = x @ problem.A_star @ problem.B_star[client]
                pairs.append((x, y if E is None else y + E[trial, row]))
        return self.now


def of_A(x, y, A, B):
    return 2 / len(x) * x.T @ (x @ A @ B - y) @ B.T


def of_B(x, y, A, B):
    return 2 / len(x) * (x @ A).T @ (x @ A @ B - y)


def least_squares(x, y, A):
    return np.linalg.lstsq(x @ A, y, rcond=None)[0]


def local_steps(name, number, model, pairs, who, controls):
    """What each client sends: A and B after `K` steps from its own."""
    sent = []
    for k, a, b, (x, y) in zip(who, *model, pairs, strict=True):
        for step in range(K):
            letters = moves(name, number, step)
            by_a = shaped(name, of_A(x, y, a, b), b) + controls[0].correction(k)
            by_b = of_B(x, y, a, b) + controls[1].correction(k)
            a, b = a - ETA * by_a * ("A" in letters), b - ETA * by_b * ("B" in letters)
        sent.append((a, b))
    return sent


def solved(name, a, first, second):
    """A and B after a round of a method that solves for B."""
    if name == "ffa-pooled":
        return a, least_squares(*(np.concatenate(parts) for parts in zip(*first, strict=True)), a)
    b = np.mean([least_squares(x, y, a) for x, y in first], axis=0)
    if name == "algorithm2-pooled":
        b = least_squares(*(np.concatenate(parts) for parts in zip(*first, strict=True)), a)
    if name == "ffa-ls":
        return a, b
    moved = a - ETA * np.mean([of_A(x, y, a, b) for x, y in second], axis=0)
    q = np.linalg.qr(moved).Q
    # Signs of a QR are free; take those that keep each column's direction.
    return q * np.sign(np.sum(q * moved, axis=0)), b


def rounds(problem, start, name):
    """Of every round and trial: each client's A and B, W, and the aggregation error."""
    samples, N = Samples(problem), problem.clients
    A = [[a] * N for a in start]
    B = [[np.zeros((problem.rank, problem.outputs))] * N for _ in start]
    W = [np.zeros((problem.d, problem.outputs)) for _ in start]
    errors, past = [0.0] * TRIALS, [{} for _ in start]
    controls = [[ControlsByHand(name, x[t][0], N) for x in (A, B)] for t in range(TRIALS)]
    for number in range(1, ROUNDS + 1):
        samples.begin()
        first = samples.half_step()
        second = samples.half_step() if name.startswith("algorithm2") else first
        for t, who in enumerate(samples.who):
            if name in ("algorithm2", "algorithm2-pooled", "ffa-ls", "ffa-pooled"):
                a, b = solved(name, A[t][0], first[t], second[t])
                A[t], B[t] = [a] * N, [b] * N
                continue
            model = [[held[k] for k in who] for held in (A[t], B[t])]
            gaps = [(x, y - x @ W[t]) for x, y in first[t]]
            sent = local_steps(name, number, model, gaps, who, controls[t])
            for i, letter in enumerate("AB"):
                if letter in trained(name, number):
                    moved = [old - new[i] for old, new in zip(model[i], sent, strict=True)]
                    controls[t][i].after(who, moved, K * ETA, [1 / N] * N)
            share = [1 / len(who)] * len(who)
            held = A[t], B[t], W[t]
            A[t], B[t], W[t], errors[t] = averaged(name, share, who, sent, *held, past=past[t])
        yield list(A), list(B), list(W), list(errors)


def loss(problem, A, B, W):
    """Mean over clients of the expected squared error, noise included, of one trial."""
    truth = [problem.A_star @ b for b in problem.B_star]
    apart = [W + a @ b - own for a, b, own in zip(A, B, truth, strict=True)]
    S = [np.eye(problem.d)] * len(A) if problem.covariances is None else problem.covariances
    squares = [np.trace(gap.T @ s @ gap) for gap, s in zip(apart, S, strict=True)]
    return np.mean(squares) + problem.noise**2 * problem.outputs
