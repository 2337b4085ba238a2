"""The language-model laboratory beside a plain loop over clients on transformers' own dense model."""

import numpy as np
import torch
import transformers
from torch.func import functional_call

from federation.participants import participants
from llm_validation.base.encoding import encode
from llm_validation.base.models import build
from llm_validation.layers.losses import client_losses
from llm_validation.tasks import registry
from llm_validation.training.evaluation import Evaluator
from llm_validation.training.loop import run, split_clients
from llm_validation.training.randomness import local_batches
from llm_validation.training.server import read_server
from tests.support.server_by_hand import ControlsByHand, averaged, mean, moves, shaped, trained
from verification.streams import generator

COLUMNS = ("loss", "aggregation_error")


class Dense(Evaluator):
    """Scores a dense model; stands in for the workspace too."""

    def __init__(self, config):
        data = registry.load(config)
        space = build(config, causal=data.causal, names=getattr(data.train, "names", ()))
        super().__init__(config, space, data.evaluation)
        self.start, self.loaded = read_server(space), space
        self.encoded = encode(
            data.train, space.tokenizer, config.max_length, segments=space.segments
        )
        self.split = split_clients(config, data.train.labels)
        kind = transformers.AutoModelForCausalLM
        if not data.causal:
            kind = transformers.AutoModelForSequenceClassification
        options = {} if data.causal else {"num_labels": 2}
        self.plain = kind.from_pretrained(config.model, dtype=torch.float64, **options).eval()
        self.device, self.pad_id, self.causal = torch.device("cpu"), space.pad_id, data.causal
        self.space = self
        # GPT-2's Conv1D holds W as x ↦ x W, Linear its transpose.
        self.W0 = {
            name: W.detach().clone() if "c_attn" in name else W.detach().T.clone()
            for name in self.start.adapters
            for W in [self.plain.get_parameter(f"{name}.weight")]
        }

    def logits(self, batch):
        out = functional_call(self.plain, self.weights, kwargs=dict(batch.inputs)).logits
        return out[:, -batch.tail :] if self.causal else out

    def put(self, W, factors, head):
        """The dense weights W + s·A·B and the head, under transformers' names."""
        self.weights = {n.replace("modules_to_save.default.", ""): v for n, v in head.items()}
        for layer, (A, B) in factors.items():
            made = W[layer] + self.start.adapters[layer].scale * (A @ B)
            self.weights[f"{layer}.weight"] = made if "c_attn" in layer else made.T

    def loss(self, W, factors, head):
        self.put(W, factors, head)
        return (self._options() if self.causal else self._classes()).loss


def by_laboratory(config):
    """Loss and aggregation error after every round, (2, rounds), by both engines."""
    found = [
        [[row[name] for row in run(config.changed(engine=engine)).rows[1:]] for name in COLUMNS]
        for engine in ("all-at-once", "one-by-one")
    ]
    np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-10)
    return np.array(found[0])


def by_hand(config, name):
    """The same, one client after another."""
    from llm_validation.base.encoding import collate

    model = Dense(config)
    start, N = model.start, config.clients
    shared = {layer: (a.A, a.B) for layer, a in start.adapters.items()}
    clients, heads, W = [dict(shared) for _ in range(N)], [dict(start.head)] * N, dict(model.W0)
    visits, losses, errors = dict.fromkeys(range(N), 0), [], []
    controls = {layer: [ControlsByHand(name, x, N) for x in pair] for layer, pair in shared.items()}
    everybody, past = np.array([float(part.size) for part in model.split]), {n: {} for n in shared}
    for t in range(1, config.rounds + 1):
        rng = generator(config.seed, "llm", "participants", t)
        who = [int(k) for k in participants(rng, N, config.participation)]
        sizes = np.array([float(model.split[k].size) for k in who])
        p = sizes / sizes.sum()
        letters = trained(name, t)
        trains = {letter: letter in letters for letter in "AB"}
        sent = []
        for k in who:
            factors, head = dict(clients[k]), dict(heads[k])
            batches = local_batches(
                config.seed, model.split[k], model.encoded.lengths, k, visits[k], t,
                config.local_steps, config.batch_size,
            )  # fmt: skip
            visits[k] += 1
            for step, index in enumerate(batches):
                now = [letter in moves(name, t, step) for letter in "AB"]
                batch = collate(model.encoded, [index], model.pad_id, model.device)
                names = [*factors]
                leaves = [x.detach().requires_grad_() for n in names for x in factors[n]]
                tops = [value.detach().requires_grad_() for value in head.values()]
                pairs = {n: tuple(leaves[2 * i : 2 * i + 2]) for i, n in enumerate(names)}
                model.put(W, pairs, dict(zip(head, tops, strict=True)))
                loss = client_losses(model.logits(batch), batch).sum()
                slopes = list(torch.autograd.grad(loss, leaves + tops))
                for i, n in enumerate(names):
                    size = start.adapters[n].scale
                    slopes[2 * i] = shaped(name, slopes[2 * i], factors[n][1].detach(), size)
                turned = [c.correction(k) for n in names for c in controls[n]]
                moved = [
                    x.detach() - config.learning_rate * (g + c) * now[i % 2]
                    for i, (x, g, c) in enumerate(zip(leaves, slopes, turned, strict=False))
                ]
                factors = {n: tuple(moved[2 * i : 2 * i + 2]) for i, n in enumerate(names)}
                steps = zip(head.items(), slopes[len(leaves) :], strict=True)
                head = {n: value - config.learning_rate * g for (n, value), g in steps}
            sent.append((factors, head))

        for layer, pair in controls.items():
            for i, own in enumerate(pair):
                if trains["AB"[i]]:
                    gaps = [
                        clients[k][layer][i] - f[layer][i]
                        for k, (f, _) in zip(who, sent, strict=True)
                    ]
                    length = config.local_steps * config.learning_rate
                    own.after(who, gaps, length, everybody / everybody.sum())
        squares = 0.0
        for layer, adapter in start.adapters.items():
            pairs, before = (
                [f[layer] for f, _ in sent],
                zip(*(c[layer] for c in clients), strict=True),
            )
            held = *before, W[layer], adapter.scale, past[layer]
            A, B, W[layer], error = averaged(name, p, who, pairs, *held)
            for k, own in enumerate(clients):
                own[layer] = (A[k], B[k])
            squares += error**2
        heads = [{n: mean(p, [h[n] for _, h in sent]) for n in start.head}] * N
        seen = [k for k in range(N) if visits[k]] if name == "fedsa" else who[:1]
        with torch.no_grad():
            losses.append(np.mean([model.loss(W, clients[k], heads[k]) for k in seen]))
        errors.append(squares**0.5)
    return np.array([losses, errors])
