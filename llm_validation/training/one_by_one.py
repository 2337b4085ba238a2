"""The reference engine: one client after another, on PEFT's layers, with torch's own optimiser.

Both factors and the head are reset from the server for every client, so no client sees another's result.
Slow and literal; the all-at-once engine is measured against it.
"""

from collections.abc import Sequence

import numpy as np
import torch

from federated_lora import Factor
from federation.round import tensor_name
from llm_validation.base.encoding import Encoded, collate
from llm_validation.base.models import ADAPTER, Workspace, seeded
from llm_validation.config import Config
from llm_validation.layers.dropout import Pass
from llm_validation.layers.losses import client_losses
from llm_validation.training.randomness import dropout_seed, torch_seed
from llm_validation.training.server import (
    OptimiserState,
    Returned,
    Server,
    Work,
    returned,
    write_server,
)


class OneByOne:
    """Trains the participants of a round one after another."""

    def __init__(self, config: Config, space: Workspace, data: Encoded) -> None:
        self.config = config
        self.space = space
        self.data = data

    def train(self, server: Server, work: Work) -> Returned:
        """Local training of every participant from the server's state."""
        results = []
        for position, client in enumerate(work.clients):
            write_server(self.space, server, client)
            state = server.states.get(client, {}) if self.config.optimiser_state == "keep" else {}
            results.append(self._client(client, work.batches[position], state, work))
            for layer, adapter in server.adapters_of(client).items():
                for factor in work.personal - work.factors:
                    results[-1][0][tensor_name(layer, factor)] = adapter.factor(factor)
        sent, states, losses, tokens = zip(*results, strict=True)
        stacks = {name: torch.stack([own[name] for own in sent]) for name in sent[0]}
        steps = torch.stack([torch.stack(own) for own in losses])
        return returned(
            self.space.layers, self.space.head, stacks, list(states), steps, sum(tokens)
        )

    def _client(
        self, client: int, batches: Sequence[np.ndarray], state: OptimiserState, work: Work
    ) -> tuple[dict[str, torch.Tensor], OptimiserState, list[torch.Tensor], int]:
        space, config = self.space, self.config
        trained = self._trainable(work.factors)
        optimiser = config.optimiser_rule().reference(trained.values(), work.learning_rate)
        for name, parameter in trained.items():
            if name in state:
                slots = {key: _transposed(name, key, v) for key, v in state[name].items()}
                optimiser.state[parameter] = {
                    key: value if key == "step" else value.to(parameter.device)
                    for key, value in slots.items()
                }
        space.model.train()
        losses, tokens = [], 0
        for step, index in enumerate(batches):
            batch = collate(self.data, [index], space.pad_id, space.device)
            seed = dropout_seed(config.seed, work.round, client, step)
            space.holder.now = Pass(batch, (seed,) if config.lora_dropout else None)
            with seeded(torch_seed(config.seed, "base dropout", work.round, client, step)):
                loss = client_losses(space.logits(batch), batch).sum()
                loss.backward()
            for name, shape in work.shapes.items():
                held = trained[name].grad
                trained[name].grad = (
                    None if held is None else shape.T @ held
                )  # as PEFT stores factors
            for name, correction in work.corrections.items():
                gradient = trained[name].grad
                assert gradient is not None  # it trains
                gradient.add_(correction[work.clients.index(client)].T)  # as PEFT stores factors
            for name in work.rests(step):
                trained[name].grad = None  # torch's optimisers pass it by
            if config.clip:
                torch.nn.utils.clip_grad_norm_(list(trained.values()), config.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(loss.detach())
            tokens += batch.tokens
        space.holder.now = None
        sent = {name: _transposed(name, "", value.detach()) for name, value in trained.items()}
        kept = {
            name: {
                key: _transposed(name, key, value.detach())
                for key, value in optimiser.state[parameter].items()
                if isinstance(value, torch.Tensor)
            }
            for name, parameter in trained.items()
        }
        for parameter in trained.values():
            parameter.requires_grad_(False)
        return sent, kept, losses, tokens

    def _trainable(self, factors: frozenset[Factor]) -> dict[str, torch.nn.Parameter]:
        """The tensors that train in this round, by name; everything else stays frozen."""
        self.space.model.requires_grad_(False)
        trained: dict[str, torch.nn.Parameter] = {}
        for layer, module in self.space.layers.items():
            for factor in sorted(factors):
                bank = module.lora_A if factor is Factor.A else module.lora_B
                trained[tensor_name(layer, factor)] = bank[ADAPTER].weight
        if self.config.head != "frozen":
            trained.update(self.space.head)
        for parameter in trained.values():
            parameter.requires_grad_(True)
        return trained


def _transposed(name: str, slot: str, value: torch.Tensor) -> torch.Tensor:
    """A copy; transposed where it belongs to a factor, as PEFT stores them, unless it counts steps."""
    factor = name.endswith((".lora_A", ".lora_B")) and slot != "step"
    return (value.T if factor else value).clone(memory_format=torch.contiguous_format)
