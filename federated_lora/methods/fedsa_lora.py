"""FedSA-LoRA: A is shared and averaged, every client keeps its own B.

`Ā = Σ p_k A_k`; client k's model is `W0 + s·Ā·B_k`. Nothing of B is sent, and nothing of it is averaged: the
models are personal, and no single one is the server's. (`--head local` keeps the heads at home as well.)

Use it where clients have different tasks or labels and are judged on their own. Traffic: A each way.
"""

from federated_lora.adapter import ONLY_B
from federated_lora.averaging import Average, method
from federated_lora.methods.fedavg_lora import FedAvgLoRA


@method(
    "fedsa",
    label="FedSA-LoRA",
    source="Guo et al., Selective aggregation for low-rank adaptation in federated learning, ICLR 2025,"
    " arXiv 2410.01463",
    order=23,
)
class FedSALoRA(FedAvgLoRA):
    """Both factors train; A is averaged, B never leaves its client."""

    personal = ONLY_B
    average = Average.PERSONAL
