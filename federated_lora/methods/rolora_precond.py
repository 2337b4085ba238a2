"""RoLoRA with A's gradients preconditioned from the right by `(s² B̄ B̄ᵀ)⁻¹`.

RoLoRA's rounds and averages; in A's rounds every client steps along `g_A (s² B̄ B̄ᵀ + λ I)⁻¹`, λ a small share
of the mean eigenvalue of `s² B̄ B̄ᵀ`. B̄ is what was broadcast, the same for all clients, and stands still in
the round: averages stay exact and nothing more is sent. In the linear model A's error then falls by
`|1 − 2η|` a round whatever the rank and the conditioning of the target, to nothing in one round at η = ½
(theory-2.md A5); RoLoRA's rate is `(c² − 1)/(c² + 1)` at best. A's learning rate means something else than
RoLoRA's.

Use it where the clients' common target is ill-conditioned. Plain gradient steps only. Traffic: RoLoRA's.
"""

from typing import Self

from federated_lora.adapter import Adapter, Factor
from federated_lora.arrays import Array, accumulator, like, namespace, swap
from federated_lora.averaging import method, with_number
from federated_lora.methods.rolora import RoLoRA


@method(
    "rolora-precond",
    label="RoLoRA-Precond",
    source="ours: RoLoRA with the preconditioner of Tong, Ma and Chi, ScaledGD, JMLR 2021,"
    " arXiv 2005.08898, on A (theory-2.md A5)",
    order=33,
)
class RoLoRAPrecond(RoLoRA):
    """RoLoRA's alternation; A's gradients are multiplied by the inverse Gram matrix of the broadcast B.

    Attributes:
        damping: λ over the mean eigenvalue; the parameter after the name's colon.
    """

    preconditions = True
    parameter = "1e-6"
    damping = 1e-6

    @classmethod
    def made(cls, parameter: str | None, rounds: int | None) -> Self:  # noqa: ARG003 - the schedules' need
        """With the damping that was asked for.

        Raises:
            ValueError: unless it is a finite number of at least 0.
        """
        return with_number(cls(), "damping", parameter)

    def preconditioner(self, server: Adapter, round: int) -> Array | None:
        """`(s² B Bᵀ + λ I)⁻¹` in A's rounds."""
        if Factor.A not in self.trainable(round):
            return None
        xp, B = namespace(server.B), server.scale * accumulator(server.B)
        square = B @ swap(B)
        rank = square.shape[-1]
        eye = xp.eye(rank, dtype=square.dtype, device=square.device)
        size = xp.sum(square * eye, axis=(-2, -1))[..., None, None] / rank
        # B = 0 has no gradient of A either: any finite matrix will do.
        floor = self.damping * size + xp.finfo(square.dtype).tiny
        return like(xp.linalg.inv(square + floor * eye), server.A)
