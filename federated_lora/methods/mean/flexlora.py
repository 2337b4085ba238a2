"""FlexLoRA: the best rank-r approximation of the exact mean of the products.

`s·A·B` = the first r singular triples of `M = Σ p_k s A_k B_k`, split evenly: `A = U √Σ`, `B = √Σ Vᵀ` of
`M / s`. No average of rank r is nearer (Eckart and Young); what is cut off is `√(Σ_{i>r} σ_i²)`. It depends
on the clients' products alone, whatever basis each writes its factors in.

Clients may have ranks of their own: one of rank q begins with the first q columns of A and rows of B, which
is the best of rank q, for singular values come largest first.

Use it where clients drift far apart between averages and the server can pay for an SVD. That SVD is of an
N r × N r core, after a QR of either stack: O(d N² r²), never a dense matrix. Traffic: both factors each way.
"""

from federated_lora.adapter import Adapter
from federated_lora.arrays import like, namespace
from federated_lora.averaging import Average, Gauge, Replies, Update, method
from federated_lora.merged import stacked
from federated_lora.methods.fedavg_lora import FedAvgLoRA
from federated_lora.spectral import truncated


@method(
    "flexlora",
    label="FlexLoRA",
    source="Bai et al., Federated fine-tuning of LLMs under heterogeneous tasks and resources, NeurIPS 2024,"
    " arXiv 2402.11505",
    order=20,
)
class FlexLoRA(FedAvgLoRA):
    """Both factors train; the server splits the truncated SVD of the exact mean."""

    average = Average.BEST
    gauges = frozenset(Gauge)
    mixed_ranks = True

    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:  # noqa: ARG002
        """`A = U √Σ`, `B = √Σ Vᵀ` with Σ p_k A_k B_k ≈ U Σ Vᵀ; the scale is in neither."""
        left, right = stacked(server, replies, replies.weights)
        U, sigma, Vt = truncated(left, right, server.shape.rank)
        root = namespace(sigma).sqrt(sigma)
        A, B = U * root[..., None, :], root[..., :, None] * Vt
        return Update(Adapter(like(A, server.A), like(B, server.B), server.scale))
