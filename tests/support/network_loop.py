"""The network laboratory beside a plain loop over clients, each with its own dense W + s·A·B."""

import numpy as np
import torch
from torch.nn import functional

from federation.participants import participants
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import all_at_once, one_by_one, sampling
from nonlinear_model.training.federation import Federation
from rolora.storage.run_folder import read
from tests.support import rolora_helpers
from tests.support.linear_loop import ROUNDS
from tests.support.server_by_hand import ControlsByHand, averaged, kept, moves, shaped, trained
from verification.streams import generator


class Network:
    """Runs in float64 with plain SGD, two replicas side by side."""

    def __init__(self, **changes):
        common = {"local_steps": 3, "batch_size": 8, "hidden": 20, "rank": 3, "scale": 0.5}
        self.settings = {
            "dtype": "float64", "rounds": ROUNDS, "repeats": 2, "learning_rate": 0.3, **common, **changes
        }  # fmt: skip

    def run(self, place):
        """Test loss and aggregation error after every round, (rounds, replicas), by both engines."""
        config = Configuration(method=place, **self.settings)
        found = []
        for engine in (all_at_once.train, one_by_one.train):
            federation = Federation(config, load(), engine=engine)
            for _ in range(ROUNDS):
                federation.step()
            rows = federation.rows[config.repeats :]
            columns = [[row[name] for row in rows] for name in ("test_loss", "aggregation_error")]
            found.append(np.reshape(columns, (2, ROUNDS, config.repeats)))
        np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-10)
        return found[0]

    def literal(self, name):
        """The same, one client after another."""
        start = Federation(Configuration(method="fedavg", **self.settings), load())
        columns = [self.replica(name, start, r) for r in range(len(start.replicas))]
        return np.transpose(columns, (1, 2, 0))

    def replica(self, name, start, r):
        config, seed, N = start.config, start.replicas[r].seed, start.config.clients
        examples, test = start._train, start.record._test
        base = {id(data): 0.0 if data.base is None else data.base for data in (examples, test)}
        heads = [start.server.head[r]] * N
        A, B = [start.server.A[r]] * N, [start.server.B[r]] * N
        s, W = config.scale, torch.zeros(A[0].shape[0], B[0].shape[1], dtype=torch.float64)
        seen, losses, errors, past = set(), [], [], {}
        controls = [ControlsByHand(name, x[0], N) for x in (A, B)]
        everybody = np.array([float(part.size) for part in start.parts[r]])

        def logits(data, rows, a, b, head):
            W0 = base[id(data)]
            own = W0 if isinstance(W0, float) else W0[rows]
            return torch.relu(own + data.x[rows] @ (W + s * (a @ b))) @ head

        for t in range(1, ROUNDS + 1):
            rng = generator(seed, "nonlinear", "participants", t)
            who = [int(k) for k in participants(rng, N, config.participation)]
            sizes = np.array([float(start.parts[r][k].size) for k in who])
            p = sizes / sizes.sum() if config.weighting == "examples" else sizes * 0 + 1 / len(who)
            letters = trained(name, t)
            trains = ["A" in letters, "B" in letters, config.head != "frozen"]
            sent = []
            for k in who:
                model = [A[k], B[k], heads[k]]
                part = start.parts[r][k]
                drawn = sampling.draw(seed, t, k, part, config.local_steps, config.batch_size)
                for step, rows in enumerate(drawn):
                    now = [letter in moves(name, t, step) for letter in "AB"] + trains[2:]
                    leaves = [tensor.clone().requires_grad_() for tensor in model]
                    out = logits(examples, torch.from_numpy(rows), *leaves)
                    loss = functional.cross_entropy(out, examples.y[torch.from_numpy(rows)])
                    by_A, *rest = torch.autograd.grad(loss, leaves)
                    slopes = [shaped(name, by_A, model[1], s), *rest]
                    turned = [*(c.correction(k) for c in controls), 0.0]
                    model = [
                        x.detach() - config.learning_rate * (g + c) if moves else x.detach()
                        for x, g, c, moves in zip(leaves, slopes, turned, now, strict=True)
                    ]
                sent.append(model)
            factors = [(a, b) for a, b, _ in sent]
            for i, held in enumerate((A, B)):
                if trains[i]:
                    moved = [held[k] - own[i] for k, own in zip(who, factors, strict=True)]
                    length = config.local_steps * config.learning_rate
                    controls[i].after(who, moved, length, everybody / everybody.sum())
            A, B, W, error = averaged(name, p, who, factors, A, B, W, s, past)
            heads = kept(p, who, [head for *_, head in sent], heads, config.head != "average")
            errors.append(error)
            seen |= set(who)
            every = slice(None)
            models = [logits(test, every, A[k], B[k], heads[k]) for k in seen]
            losses.append(np.mean([float(functional.cross_entropy(out, test.y)) for out in models]))
        return losses, errors

    def command(self, capsys, place, out):
        """A small run through the command line; its losses."""
        words = ("nonlinear", "run", "--rounds", 6, "--hidden", 20, "--rank", 3, "--local-steps", 3,
                 "--method", place, "--out", out, "--quiet")  # fmt: skip
        assert rolora_helpers.run(capsys, *words)[0] == 0
        return read(out).columns["test_loss"]
