"""RoLoRA with control variates: the clients' drift during local steps is taken out of their gradients.

RoLoRA's rounds and averages; in the rounds of a factor client i steps along `g_i − c_i + c`, one pair of
control variates per factor (`federation.controls`). One factor moves, so averages of what was corrected are
averages of the product, and the fixed points are exactly the stationary points of the mean loss, for any
number K of local steps (theory-2.md E2); RoLoRA's own depend on K where clients differ.

Use it where clients differ and take many local steps. Plain gradient steps only. Traffic: RoLoRA's where
everybody takes part with as many steps; else the factor's control variate goes down with it.
"""

from federated_lora.adapter import BOTH
from federated_lora.averaging import method
from federated_lora.methods.rolora import RoLoRA


@method(
    "rolora-cv",
    label="RoLoRA-CV",
    source="ours: RoLoRA with the control variates of Karimireddy et al., SCAFFOLD, ICML 2020,"
    " arXiv 1910.06378",
    order=30,
)
class RoLoRACV(RoLoRA):
    """RoLoRA's alternation, with corrected gradients of whichever factor trains."""

    controls = BOTH
