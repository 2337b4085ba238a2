"""RoLoRA's alternation with other shares of A- and B-rounds.

All of them train one factor a round and average it, `B̄ = Σ p_k B_k` or `Ā = Σ p_k A_k`, so every average is
exact.

Use them to see what the share of A's rounds is worth. Traffic: the round's factor each way.
"""

from typing import ClassVar, Self

from federated_lora.adapter import ONLY_A, ONLY_B, Factors
from federated_lora.averaging import Average, Averaging, check_round, method

OURS = "ours: variants of RoLoRA's schedule"


class Schedule(Averaging):
    """Trains the factors of `opening` in turn, then those of `cycle` over and over.

    Attributes:
        cycle: letters A and B, repeated for ever. `BA` is RoLoRA itself.
        opening: letters A and B for the first rounds, "" for none.
    """

    average = Average.EXACT
    cycle: str
    opening: str = ""

    def trainable(self, round: int) -> Factors:
        """One factor, by the server's round alone, counting from 1."""
        check_round(round)
        if round <= len(self.opening):
            letter = self.opening[round - 1]
        else:
            letter = self.cycle[(round - 1 - len(self.opening)) % len(self.cycle)]
        return ONLY_A if letter == "A" else ONLY_B


@method("a-heavy", label="A-heavy", source=OURS, order=10)
class AHeavy(Schedule):
    """One B-round, three A-rounds."""

    cycle = "BAAA"


@method("b-heavy", label="B-heavy", source=OURS, order=11)
class BHeavy(Schedule):
    """Three B-rounds, one A-round."""

    cycle = "BBBA"


class Switch(Schedule):
    """One schedule for a percentage of the rounds (whole B–A pairs), then another.

    Attributes:
        start: two letters, repeated to make the opening.
    """

    start: ClassVar[str]
    parameter = "20"

    @classmethod
    def made(cls, parameter: str | None, rounds: int | None) -> Self:
        """The schedule of a run of that many rounds; the parameter is the percentage.

        Raises:
            ValueError: if the percentage is no number strictly between 0 and 100, either part of the
                schedule would have no round, or the number of rounds is not known.
        """
        made = cls()
        if parameter is not None:
            made.name = f"{cls.name}:{parameter}"
        share = _percentage(made.name, cls.parameter if parameter is None else parameter)
        if rounds is None:
            raise ValueError(f"method {made.name} needs the run's number of rounds, got none")
        opening = 2 * round(rounds * share / 200.0)
        if not 0 < opening < rounds:
            raise ValueError(
                f"the percentage in {made.name!r} must come to at least one B–A pair of rounds and"
                f" leave some, got {opening} of {rounds} rounds"
            )
        made.opening = cls.start * (opening // 2)
        return made


@method("rolora-then-ffa", label="RoLoRA, then FFA-LoRA", source=OURS, order=12)
class RoLoRAThenFFA(Switch):
    """RoLoRA first, then FFA-LoRA with the A that it found."""

    start, cycle = "BA", "B"


@method("ffa-then-rolora", label="FFA-LoRA, then RoLoRA", source=OURS, order=13)
class FFAThenRoLoRA(Switch):
    """FFA-LoRA first, then RoLoRA."""

    start, cycle = "BB", "BA"


def _percentage(name: str, share: str) -> float:
    try:
        value = float(share)
    except ValueError:
        value = float("nan")
    if not 0.0 < value < 100.0:
        raise ValueError(
            f"the percentage in {name!r} must lie strictly between 0 and 100, got {share!r}"
        )
    return value
