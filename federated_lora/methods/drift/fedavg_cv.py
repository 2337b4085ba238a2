"""FedAvg-LoRA with control variates on both factors: the fair rival of RoLoRA with control variates.

FedAvg-LoRA's rounds and averages, each client's gradient in A and in B corrected by `− c_i + c`
(`federation.controls`). The drift of each factor is taken out; the interference of averaging two factors that
moved at once is not.

So the average is inexact. Plain gradient steps only.

Use it where clients differ, as the rival of `rolora-cv`.
Traffic: FedAvg-LoRA's where everybody takes part with as many steps; else both control variates go down, too.
"""

from federated_lora.adapter import BOTH
from federated_lora.averaging import method
from federated_lora.methods.fedavg_lora import FedAvgLoRA


@method(
    "fedavg-cv",
    label="FedAvg-LoRA-CV",
    source="Karimireddy et al., SCAFFOLD, ICML 2020, arXiv 1910.06378, on either factor",
    order=31,
)
class FedAvgCV(FedAvgLoRA):
    """Both factors train with corrected gradients; the server averages each."""

    controls = BOTH
