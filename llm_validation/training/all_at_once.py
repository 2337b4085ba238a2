"""Many clients' minibatches in one forward and backward, with client-stacked adapters and heads."""

from collections.abc import Sequence

import torch
from torch import nn

from federated_lora import Factor
from federation.round import tensor_name
from llm_validation.base.encoding import Encoded, collate
from llm_validation.base.models import ADAPTER, Workspace
from llm_validation.config import Config
from llm_validation.layers.dropout import Pass
from llm_validation.layers.per_client import StackedLinear, StackedLoRA, installed
from llm_validation.training.losses import client_losses
from llm_validation.training.randomness import dropout_seed
from llm_validation.training.server import (
    OptimiserState,
    Returned,
    Server,
    Work,
    returned,
    write_base,
)


class AllAtOnce:
    """Trains the participants of a round together, `at_once` of them per pass.

    The frozen base does the same work for all clients in one matrix product; each client's adapter is
    applied to its own rows. What shares a pass changes results only by rounding. A head that has trainable
    tensors outside linear layers is refused.
    """

    def __init__(self, config: Config, space: Workspace, data: Encoded, at_once: int) -> None:
        if at_once < 1:
            raise ValueError(f"at_once must be at least 1, got {at_once}")
        self.config = config
        self.space = space
        self.data = data
        self.at_once = at_once
        self.head_layers = {} if config.head == "frozen" else _head_layers(space)

    def train(self, server: Server, work: Work) -> Returned:
        """Local training of every participant from the server's state."""
        write_base(self.space, server.merged)
        parts = [
            self._pass(server, work, slice(start, start + self.at_once))
            for start in range(0, len(work.clients), self.at_once)
        ]
        stacks = {name: torch.cat([part[0][name] for part in parts]) for name in parts[0][0]}
        states = [state for part in parts for state in part[1]]
        losses = torch.cat([part[2] for part in parts])
        return returned(
            self.space.layers,
            self.space.head,
            stacks,
            states,
            losses,
            sum(part[3] for part in parts),
        )

    def _pass(
        self, server: Server, work: Work, part: slice
    ) -> tuple[dict[str, torch.Tensor], list[OptimiserState], torch.Tensor, int]:
        config, space = self.config, self.space
        clients, batches = work.clients[part], work.batches[part]
        own = self._start(server, clients, work)
        trained = {name: tensor for name, tensor in own.items() if tensor.requires_grad}
        optimiser = config.optimiser_rule()
        keep = optimiser.state == "keep"
        held = [server.states.get(client, {}) if keep else {} for client in clients]
        states = {
            name: optimiser.joined(stack, [own.get(name, {}) for own in held])
            for name, stack in trained.items()
        }
        space.model.requires_grad_(False)
        space.model.train()
        losses, tokens = [], 0
        with installed(space.base, self._modules(server, own, len(clients))):
            for step in range(len(batches[0])):
                batch = collate(self.data, [b[step] for b in batches], space.pad_id, space.device)
                seeds = tuple(dropout_seed(config.seed, work.round, k, step) for k in clients)
                space.holder.now = Pass(batch, seeds if config.lora_dropout else None)
                each = client_losses(space.logits(batch), batch)
                each.sum().backward()
                gradients = _gradients(trained)
                for name, shape in work.shapes.items():
                    gradients[name] = gradients[name] @ shape.to(space.device)
                for name, correction in work.corrections.items():
                    gradients[name].add_(correction[part])
                rests = work.rests(step)
                moving = {name: tensor for name, tensor in trained.items() if name not in rests}
                gradients = {name: gradients[name] for name in moving}
                optimiser.step(moving, gradients, states, work.learning_rate, axes=1)
                losses.append(each.detach())
                tokens += batch.tokens
        space.holder.now = None
        sent = {name: tensor.detach() for name, tensor in own.items()}
        kept: list[OptimiserState] = [
            {name: {slot: v[k].clone() for slot, v in own.items()} for name, own in states.items()}
            if keep
            else {}
            for k in range(len(clients))
        ]
        return sent, kept, torch.stack(losses, dim=1).cpu(), tokens

    def _start(self, server: Server, clients: Sequence[int], work: Work) -> dict[str, torch.Tensor]:
        """Every client's copy of what trains or is its own, stacked; what trains asks for a gradient."""
        held = [server.adapters_of(client) for client in clients]
        found: dict[str, torch.Tensor] = {}
        for layer in server.adapters:
            for factor in sorted(work.factors | work.personal):
                stack = torch.stack([own[layer].factor(factor) for own in held])
                found[tensor_name(layer, factor)] = stack.to(self.space.device).requires_grad_(
                    factor in work.factors
                )
        heads = [server.head_of(client) for client in clients]
        for name in self.space.head if self.head_layers else ():
            stack = torch.stack([own[name] for own in heads])
            found[name] = stack.to(self.space.device).requires_grad_()
        return found

    def _modules(
        self, server: Server, trained: dict[str, torch.Tensor], clients: int
    ) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {}
        device = self.space.device
        for layer, peft_layer in self.space.layers.items():
            adapter = server.adapters[layer]
            A, B = (
                trained[tensor_name(layer, factor)]
                if tensor_name(layer, factor) in trained
                else adapter.factor(factor).to(device)
                for factor in Factor
            )
            dropout = peft_layer.lora_dropout[ADAPTER]
            modules[layer] = StackedLoRA(
                peft_layer.base_layer, A, B, adapter.scale, dropout, clients
            )
        for name, linear in self.head_layers.items():
            bias = trained[f"{name}.bias"] if linear.bias is not None else None
            modules[name] = StackedLinear(trained[f"{name}.weight"], bias)
        if not self.head_layers:
            with torch.no_grad():
                for name, parameter in self.space.head.items():
                    parameter.copy_(server.head[name])
        return modules


def _gradients(trained: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the backward pass left, zeros where nothing; dropped from the tensors."""
    found = {
        name: torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        for name, tensor in trained.items()
    }
    for tensor in trained.values():
        tensor.grad = None
    return found


def _head_layers(space: Workspace) -> dict[str, nn.Linear]:
    """The head's linear layers by name; together they must hold all of the head."""
    found, covered = {}, set()
    for name in space.head:
        path = name.rpartition(".")[0]
        module = space.base.get_submodule(path)
        if isinstance(module, nn.Linear):
            found[path] = module
            covered.add(name)
    rest = set(space.head) - covered
    if rest:
        raise ValueError(
            f"engine = all-at-once supports heads made of linear layers, this one has {sorted(rest)[0]};"
            " use engine = one-by-one"
        )
    return found
