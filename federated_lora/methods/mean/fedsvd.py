"""FedSVD: the clients train B alone; the server turns the average so that A stays orthonormal.

`B̄ = Σ p_k B_k`, exact since A is the same for all; then `A·B̄ = U Σ Vᵀ` and `A ← U`, `B ← Σ Vᵀ`: the model
is the same, the basis is new (with zeros where r exceeds d_in or d_out). A moves only inside its own span, so
what B can reach is FFA-LoRA's forever; the orthonormal basis conditions B's gradient, and noise that privacy
adds to B is not amplified by A.

Use it in FFA-LoRA's place where A's conditioning or privacy matters. Traffic: B up, both factors down.
"""

from collections.abc import Iterable

from federated_lora.adapter import BOTH, ONLY_B, Adapter, Factors, Shape
from federated_lora.arrays import accumulator, like
from federated_lora.averaging import Average, Method, Replies, Update, check_round, method
from federated_lora.spectral import truncated
from federated_lora.traffic import Traffic, traffic_of
from federated_lora.weights import accumulated_mean


@method(
    "fedsvd",
    label="FedSVD",
    source="Lee et al., FedSVD: Adaptive orthogonalization for private federated learning with LoRA,"
    " NeurIPS 2025, arXiv 2505.12805",
    order=24,
)
class FedSVD(Method):
    """B trains in every round; the server re-factors A·B̄ with an orthonormal A."""

    average = Average.EXACT

    def trainable(self, round: int) -> Factors:
        """B, in every round."""
        check_round(round)
        return ONLY_B

    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:
        """`A = U`, `B = Σ Vᵀ` of `A·B̄ = U Σ Vᵀ`."""
        check_round(round)
        mean = accumulated_mean(replies.B, replies.weights)
        U, sigma, Vt = truncated(accumulator(server.A), mean, server.shape.rank)
        A, B = like(U, server.A), like(sigma[..., :, None] * Vt, server.B)
        return Update(Adapter(A, B, server.scale))

    def traffic(self, shapes: Iterable[Shape], round: int) -> Traffic:
        """B up; down both, since the basis is new."""
        check_round(round)
        return traffic_of(shapes, up=ONLY_B, down=BOTH)
