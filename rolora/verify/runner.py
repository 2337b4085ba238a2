"""Runs checks and their controls, in this process or in several, with the same numbers."""

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rolora.verify import registry
from verification.budget import Budget
from verification.claim import Claim
from verification.discovery import Found
from verification.finding import Finding

REFUSED = "the check raised ValueError: "
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one claim.

    Attributes:
        finding: of its check, None if the check raised.
        control: finding of its negative control, None if that raised or was not run.
        positive: finding of its positive control, None if it has none or that raised or was not run.
        error: one sentence on what was raised by either, "" if nothing was.
        trace: the traceback behind `error`, for `--debug` only.
        warnings: distinct warnings the two runs gave, in order of appearance.
        svg: the finding's picture in placeholder colours (see `rolora.plotting.claim_plot`), "" without one.
    """

    claim: Claim
    finding: Finding | None
    control: Finding | None
    positive: Finding | None = None
    error: str = ""
    trace: str = ""
    warnings: tuple[str, ...] = ()
    svg: str = ""

    @property
    def open(self) -> bool:
        """Whether the check ended without deciding, and says what would decide."""
        return not self.error and self.finding is not None and self.finding.verdict.open

    @property
    def refusal(self) -> str:
        """What the check said of a parameter it refuses, "" if it refused none."""
        return self.error.removeprefix(REFUSED) if self.error.startswith(REFUSED) else ""

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the expected one; an open verdict never is."""
        if self.error or self.finding is None:
            return False
        return self.finding.verdict is self.claim.expected

    @property
    def control_failed(self) -> bool:
        """Whether the negative control failed as it must; an open claim's may be open too.

        It fails by its measurements, where the claim has any: a proof that refutes it says nothing of them.
        """
        if self.error or self.control is None:
            return False
        return self.control.measured_false or (self.open and self.control.verdict.open)

    @property
    def positive_held(self) -> bool:
        """Whether the positive control, if there is one, confirmed; an open claim's may be open too."""
        if not self.claim.positive:
            return True
        if self.error or self.positive is None:
            return False
        verdict = self.positive.verdict
        return verdict.confirms or (self.open and verdict.open)

    @property
    def differs(self) -> bool:
        """Whether the verdict reached, or a control, is not as it should be."""
        controls = self.control_failed and self.positive_held
        return not (controls and (self.open or self.as_expected))

    @property
    def verdict(self) -> str:
        """The verdict in one word; ERROR if the check raised."""
        return "ERROR" if self.error or self.finding is None else str(self.finding.verdict)

    @property
    def seconds(self) -> float:
        """Time of the check and its controls together."""
        found = (self.finding, self.control, self.positive)
        return sum(f.seconds for f in found if f is not None)


def run(
    selected: Sequence[Found[Claim]],
    budget: Budget,
    *,
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
    on_done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Check every selected claim and run its controls; the outcomes in the order of `selected`.

    Each claim runs with one thread, whatever the number of jobs, so the numbers are the same.

    Args:
        parameters: values of the checks' parameters that are not their own.
        jobs: worker processes; 1 works in this process.
        on_done: called with each outcome as it arrives, in order of completion.

    Raises:
        ValueError: if `jobs` is below 1.
        ChildProcessError: if a worker process died.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    from joblib import Parallel, delayed, parallel_config

    jobs = min(jobs, max(1, len(selected)))
    outcomes: dict[str, Outcome] = {}
    options = {} if jobs == 1 else {"initializer": _ignore_interrupts, "inner_max_num_threads": 1}
    backend = "sequential" if jobs == 1 else "loky"
    with _one_thread(), workers_replaced(), parallel_config(backend, **options):
        arriving = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(
            delayed(_run_one)(entry.place, entry.name, budget, dict(parameters or {}))
            for entry in selected
        )
        try:
            for claim_id, result in arriving:
                claim = next(e.value for e in selected if e.name == claim_id)
                outcome = Outcome(claim, *result)
                outcomes[claim_id] = outcome
                if on_done is not None:
                    on_done(outcome)
        except BrokenExecutor as error:
            raise ChildProcessError(
                "a worker process was killed, most likely for want of memory; use fewer --jobs"
            ) from error
        except KeyboardInterrupt:
            if jobs > 1:
                _kill_workers()
            raise
    return [outcomes[entry.name] for entry in selected]


_Result = tuple[Finding | None, Finding | None, Finding | None, str, str, tuple[str, ...], str]


def _run_one(
    place: str, claim_id: str, budget: Budget, parameters: dict[str, Any]
) -> tuple[str, _Result]:
    """Check and controls of one claim; never raises on the claim's account.

    The claim travels as a name, not as a pickle: its functions may be closures.
    """
    from threadpoolctl import threadpool_limits

    from rolora.plotting import claim_plot

    finding = control = positive = None
    error = trace = svg = ""
    with threadpool_limits(1), _one_torch_thread(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step = "loading the claim"
        try:
            claim = registry.load(place)
            step = "the check"
            finding = _timed(claim.check, budget, parameters)
            step = "the negative control"
            control = _timed(claim.negative_control, budget, parameters)
            if claim.positive:
                step = "the positive control"
                positive = _timed(claim.positive_control, budget, parameters)
            step = "drawing the figure"
            if finding.plot is not None and finding.table is not None:
                svg = claim_plot.svg(claim.id, finding.table, finding.plot)
        except Exception as raised:  # noqa: BLE001 - any failure of a check is a row of the report
            error = f"{step} raised {type(raised).__name__}: {raised}"
            trace = traceback.format_exc()
    texts = dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught)
    return claim_id, (finding, control, positive, error, trace, tuple(texts), svg)


def _timed(check: Callable[..., Finding], budget: Budget, parameters: dict[str, Any]) -> Finding:
    start = time.perf_counter()
    finding = check(budget, **parameters)
    if not isinstance(finding, Finding):
        raise TypeError(f"a check must return a Finding, got {type(finding).__name__}")
    return replace(finding, seconds=time.perf_counter() - start)


@contextmanager
def workers_replaced() -> Iterator[None]:
    """Without loky's remark on a worker that had grown and was replaced: no work is lost or done twice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    # Read by libraries that are loaded later, in this process (jobs = 1).
    before = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name in THREAD_VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    # Only if some claim has loaded torch already: it is never imported from here.
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    if torch is not None:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


def _ignore_interrupts() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _kill_workers() -> None:
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)
