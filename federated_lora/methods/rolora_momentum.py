"""RoLoRA with heavy-ball momentum on A: the server carries on what A moved in its round before.

RoLoRA's rounds and averages; in A's rounds `A ← Ā + β V`, then `V ← A − A_before`, V = 0 at first. In the
linear model A's rounds are Oja's rule for the mean target, at best a factor `(c² − 1)/(c² + 1)` a round, c
the ratio of the target's extreme singular values; heavy ball makes that `(c − 1)/(c + 1)` at β its square
(theory-2.md A5). What is added to the mean is not the clients', so the model is not their exact mean; fixed
points are RoLoRA's.

Use it where the clients' common target is ill-conditioned. Traffic: RoLoRA's, for the server adds V itself;
it remembers V between rounds.
"""

from typing import Self

from federated_lora.adapter import Adapter, Factor
from federated_lora.arrays import accumulator, like
from federated_lora.averaging import Average, Replies, Update, method, with_number
from federated_lora.methods.rolora import RoLoRA


@method(
    "rolora-momentum",
    label="RoLoRA with momentum",
    source="ours: RoLoRA with the heavy ball of Polyak, 1964, on A (theory-2.md A5)",
    order=32,
)
class RoLoRAMomentum(RoLoRA):
    """RoLoRA's alternation; A goes on by a share of its last movement.

    Attributes:
        momentum: that share, β; the parameter after the name's colon.
    """

    average = Average.INEXACT
    remembers = True
    parameter = "0.5"
    momentum = 0.5

    @classmethod
    def made(cls, parameter: str | None, rounds: int | None) -> Self:  # noqa: ARG003 - the schedules' need
        """With the β that was asked for.

        Raises:
            ValueError: unless it lies in [0, 1).
        """
        return with_number(cls(), "momentum", parameter, below=1.0)

    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:
        """The mean, and in A's rounds `β V` added to it."""
        mean, before = super().combine(server, replies, round).adapter, replies.memory
        if Factor.A not in self.trainable(round):
            return Update(mean, memory=before)
        A = accumulator(mean.A)
        if before is not None:
            A = A + self.momentum * before
        made = mean.with_factor(Factor.A, like(A, server.A))
        return Update(made, memory=A - accumulator(server.A))
