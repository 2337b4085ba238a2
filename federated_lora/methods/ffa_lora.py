"""FFA-LoRA: A stays at a shared random initialisation, only B is trained. The average is exact."""

from federated_lora.adapter import ONLY_B, Factors
from federated_lora.averaging import Average, Averaging, check_round, method


@method(
    "ffa",
    label="FFA-LoRA",
    source="Sun et al., Improving LoRA in privacy-preserving federated learning, ICLR 2024",
    order=2,
)
class FFALoRA(Averaging):
    """B trains in every round; A is frozen for ever."""

    average = Average.EXACT

    def trainable(self, round: int) -> Factors:
        """B, in every round."""
        check_round(round)
        return ONLY_B
