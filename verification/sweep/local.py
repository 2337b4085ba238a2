"""Worker processes of this machine, each with a pool of its own, so that one's death is no other's."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any, Self, TypeVar

T = TypeVar("T")
DEATHS = 3
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
WATCH_SECONDS = 0.5


class Lanes:
    """As many single processes as asked for, by joblib's own engine; a `dispatch.Pool`.

    In one pool of several processes a death would break all of them, and with them other items.
    """

    deaths = DEATHS
    given_up = f"it killed its worker process {DEATHS} times"

    def __init__(self, jobs: int, threads: int = 1) -> None:
        if isinstance(jobs, bool) or jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {jobs!r}")
        self._jobs = jobs
        self._threads = threads
        self._free: list[Any] = []
        self._busy: dict[Future[Any], Any] = {}
        self._unsaid: Any = warnings.catch_warnings()

    @property
    def at_once(self) -> int:
        """The number of processes."""
        return self._jobs

    def submit(self, work: Callable[[T], Any], item: T) -> Future[Any]:
        """Begin an item, in a process that is begun if none is free."""
        lane = self._free.pop() if self._free else self._lane()
        try:
            future: Future[Any] = lane.submit(work, item)
        except BrokenExecutor:  # it died between two items
            _end(lane)
            lane = self._lane()
            future = lane.submit(work, item)
        self._busy[future] = lane
        return future

    def died(self, future: Future[Any]) -> bool:
        """Whether the process died of what is finished."""
        lane = self._busy.pop(future)
        broken = isinstance(future.exception(), BrokenExecutor)
        if broken:
            _end(lane)
        else:
            self._free.append(lane)
        return broken

    def look(self) -> None:
        """Nothing to look after: a death is seen at once."""

    def __enter__(self) -> Self:
        self._unsaid.__enter__()
        # One that had grown is replaced between two items: nothing is lost or done twice.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        return self

    def __exit__(self, *raised: object) -> None:
        self._unsaid.__exit__()
        for lane in (*self._free, *self._busy.values()):
            _end(lane)
        self._free, self._busy = [], {}

    def _lane(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        threads = dict.fromkeys(THREAD_VARIABLES, str(self._threads))
        return ProcessPoolExecutor(
            1, initializer=_begin, initargs=(os.getpid(),), env=threads, timeout=None
        )


def _end(lane: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lane.shutdown(wait=True, kill_workers=True)


def _begin(parent: int) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End with the parent, even if that was killed."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
