"""Working through items in processes that may die: each death costs its item alone, and is told by name."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
LOOK_SECONDS = 5.0
"""How often a pool is looked after where nothing is finished."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What became of an item.

    Attributes:
        item: itself.
        value: what the work gave.
        error: one sentence on what it raised instead, or on the workers it killed; "" if nothing.
    """

    item: T
    value: Any = None
    error: str = ""


class Pool(Protocol):
    """Processes that take work, within a `with`; leaving it ends at once whatever is begun.

    Attributes:
        deaths: how many workers an item may kill before it is given up.
        given_up: what is said then.
    """

    deaths: int
    given_up: str

    @property
    def at_once(self) -> int:
        """Items that it can work on now; no more are given to it, so that a death tells whose it is."""

    def submit(self, work: Callable[[T], Any], item: T) -> Future[Any]:
        """Begin an item."""

    def died(self, future: Future[Any]) -> bool:
        """Whether the worker died of what is finished. Raises ValueError if there is no pool any more."""

    def look(self) -> None:
        """Raise ValueError if nothing can be expected any more."""


def dispatch(
    work: Callable[[T], Any], items: Iterable[T], pool: Pool | None = None
) -> Iterator[Done[T]]:
    """Every item worked on once, as they get finished.

    Args:
        work: what can be sent to another process.
        pool: where, entered before; None for this process, where whatever the work raises is raised.

    Raises:
        ValueError: if the pool is lost.
    """
    if pool is not None:
        yield from _through(work, items, pool)
        return
    for item in items:
        yield Done(item, work(item))


def _through(work: Callable[[T], Any], items: Iterable[T], pool: Pool) -> Iterator[Done[T]]:
    coming = enumerate(items)
    running: dict[Future[Any], tuple[int, T]] = {}
    again: list[tuple[int, T]] = []
    killed: Counter[int] = Counter()
    while True:
        while len(running) < pool.at_once:
            entry = again.pop() if again else next(coming, None)
            if entry is None:
                break
            running[pool.submit(Attempt(work), entry[1])] = entry
        if not running and not again:
            return
        finished = list(wait(running, LOOK_SECONDS, FIRST_COMPLETED).done)
        if not finished:
            pool.look()
        while finished:
            future = finished.pop()
            number, item = running.pop(future)
            done = None if pool.died(future) else arrived(item, future)
            # A Dask worker holds the result while anybody does, and its death would have it computed again.
            del future
            if done is not None:
                yield done
                continue
            killed[number] += 1
            if killed[number] < pool.deaths:
                again.append((number, item))
            else:
                yield Done(item, error=pool.given_up)


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """The work, with an exception as words: not every one can be sent."""

    work: Callable[[T], Any]

    def __call__(self, item: T) -> tuple[Any, str]:
        """Its value, and what it raised in place of one, "" if nothing."""
        try:
            return self.work(item), ""
        except Exception as error:  # noqa: BLE001 - any failure is told beside the item's name
            return None, _sentence(error)


def arrived(item: T, future: Future[Any]) -> Done[T]:
    """What became of an `Attempt` that killed nothing."""
    error = future.exception()
    return Done(item, *future.result()) if error is None else Done(item, error=_sentence(error))


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


class StoppedError(KeyboardInterrupt):
    """A signal asked the work to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it SIGINT, SIGTERM and SIGHUP raise `StoppedError`, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        raise StoppedError(number)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
