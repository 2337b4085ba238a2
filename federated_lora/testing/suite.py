"""All cases, and running them."""

from collections.abc import Sequence

from federated_lora.averaging import Method
from federated_lora.testing.average import AVERAGES
from federated_lora.testing.case import Case
from federated_lora.testing.gauges import GAUGES
from federated_lora.testing.phases import PHASES
from federated_lora.testing.report import Report, Row, Status
from federated_lora.testing.settings import SETTINGS, Setting
from federated_lora.testing.soundness import SOUNDNESS
from federated_lora.testing.subject import OfMethod, Subject
from federated_lora.testing.weighting import WEIGHTINGS

CASES: tuple[Case, ...] = (*AVERAGES, *WEIGHTINGS, *PHASES, *SOUNDNESS, *GAUGES)


def check_method(method: Method | Subject, settings: Sequence[Setting] = SETTINGS) -> Report:
    """Put a method to every case.

    Args:
        method: an instance, or what `from_function` made.
        settings: where the cases are run.
    """
    subject = OfMethod(method) if isinstance(method, Method) else method
    return Report(subject.name, [_row(case, subject, settings) for case in CASES])


def _row(case: Case, subject: Subject, settings: Sequence[Setting]) -> Row:
    told = case.name, case.says, case.defect
    why = case.applies(subject)
    if why is not None:
        return Row(*told, Status.NOT_APPLICABLE, detail=why)
    where = [s for s in settings if not (case.exact_types and s.dtype == "bfloat16")]
    promised = case.promised(subject)
    for at, setting in enumerate(where, start=1):
        wrong = _wrong(case, subject, setting)
        if wrong is not None:
            if not promised:
                return Row(*told, Status.NOT_PROMISED, at)
            return Row(*told, Status.FAILED, at, f"{wrong} ({setting})")
    return Row(*told, Status.PASSED if promised else Status.UNCLAIMED, len(where))


def _wrong(case: Case, subject: Subject, setting: Setting) -> str | None:
    try:
        return case.check(subject, setting)
    except Exception as error:  # noqa: BLE001 - anybody's code: whatever it raises is the finding
        return f"{type(error).__name__}: {error}"
