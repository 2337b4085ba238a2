"""FLoRA: the clients' factors are stacked, merged into W0, and everybody starts afresh.

`W0 ← W0 + Σ p_k s A_k B_k` as the thin product `[p_1 A_1 | p_2 A_2 | …]·[B_1; B_2; …]`; then B = 0 and A as
at the start. The model is the exact mean, of any rank. (The paper draws a new A; the rule is exact for any.)

Clients may have ranks of their own: the stack holds r_k columns of each.

Use it where rank r is too small for what the clients learn together and downlink is cheap. From B = 0 a
client's A moves from its second step on only. Traffic: both factors up; down the stack, to everybody, N r
(d_in + d_out) numbers or the dense change where that is fewer.
"""

from collections.abc import Iterable

from federated_lora.adapter import BOTH, NEITHER, Adapter, Shape
from federated_lora.arrays import namespace
from federated_lora.averaging import Average, Gauge, Replies, Update, check_round, method
from federated_lora.merged import stacked
from federated_lora.methods.fedavg_lora import FedAvgLoRA
from federated_lora.traffic import Traffic, traffic_of


@method(
    "flora",
    label="FLoRA",
    source="Wang et al., FLoRA: Federated fine-tuning large language models with heterogeneous low-rank"
    " adaptations, NeurIPS 2024, arXiv 2409.05976",
    order=21,
)
class FLoRA(FedAvgLoRA):
    """Both factors train; all of the mean goes into W0, the adapter returns to its start."""

    merges = True
    average = Average.EXACT
    gauges = frozenset(Gauge)
    mixed_ranks = True

    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:
        """The mean product into W0 and 0 into B; A was never the server's to move."""
        check_round(round)
        left, right = stacked(server, replies, replies.weights)
        fresh = server
        xp = namespace(server.B)
        if bool(xp.any(server.B != 0)):  # a run that does not start from B = 0
            fresh = Adapter(server.A, xp.zeros_like(server.B), server.scale)
        return Update(fresh, merged=Adapter(left, right, server.scale))

    def traffic(self, shapes: Iterable[Shape], round: int) -> Traffic:
        """Both factors up; down only what was merged, which is counted where it happens."""
        check_round(round)
        return traffic_of(shapes, up=BOTH, down=NEITHER)
