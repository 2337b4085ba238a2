"""The workers of a Dask scheduler: the same work, the same numbers, elsewhere."""

import logging
import platform
import time
from collections.abc import Callable
from concurrent.futures import Future
from importlib import metadata
from typing import Any, Self, TypeVar

from verification.discovery import require_extra

T = TypeVar("T")
CONNECT_SECONDS = 5
PATIENCE_SECONDS = 60.0
"""How long a cluster may be without a worker."""
SAME = ("rolora-verify", "numpy", "scipy", "torch", "transformers", "peft")
"""Packages that decide numbers."""


class Cluster:
    """The workers of a scheduler; a `dispatch.Pool`."""

    deaths = 1  # the scheduler itself tries again; its `allowed-failures` say how often
    given_up = "it killed every worker that the scheduler gave it to"

    def __init__(self, address: str) -> None:
        """Connect, and compare versions.

        Raises:
            ValueError: if there is no such scheduler, it has no worker, or a worker has other versions.
        """
        require_extra("distributed")
        from distributed import Client

        self.address = address
        for name in ("distributed", "distributed.client", "distributed.core"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what is lost is said here
        try:
            self._client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except Exception as error:  # what answers may be anything
            raise ValueError(
                f"--scheduler must be the address of a running Dask scheduler, as tcp://host:8786; at"
                f" {address} none answered within {CONNECT_SECONDS} s"
            ) from error
        try:
            self._require_workers()
        except BaseException:
            self._client.close()
            raise
        self._executor = self._client.get_executor(pure=False)
        self._lonely: float | None = None

    def _require_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise ValueError(
                f"the scheduler at {self.address} has no worker; start one: dask worker {self.address}"
            ) from None
        own = versions()
        try:
            found = self._client.run(versions)
        except Exception as error:
            raise ValueError(
                f"the workers of {self.address} cannot run this: {type(error).__name__}: {error}; install"
                f" the same rolora-verify there"
            ) from error
        for worker, held in found.items():
            for name, version in own.items():
                if held.get(name) != version:
                    raise ValueError(
                        f"all workers must have the versions that are here: {worker} has {name}"
                        f" {held.get(name) or 'not installed'} in place of {version or 'not installed'}"
                    )

    @property
    def at_once(self) -> int:
        """The number of workers' threads, however many there are now."""
        return max(1, self._workers())

    def _workers(self) -> int:
        """Threads of all workers. Raises ValueError if the scheduler cannot be asked."""
        try:
            return sum(self._client.nthreads().values())
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> ValueError:
        return ValueError(f"the scheduler at {self.address} went away")

    def submit(self, work: Callable[[T], Any], item: T) -> Future[Any]:
        """Begin an item."""
        return self._executor.submit(work, item)

    def died(self, future: Future[Any]) -> bool:
        """Whether so many workers died of what is finished that the scheduler gave it up."""
        from distributed import KilledWorker

        if future.cancelled():
            raise self._gone()
        self._lonely = None
        return isinstance(future.exception(), KilledWorker)

    def look(self) -> None:
        """Raise ValueError if the scheduler is gone, or has been without a worker for long."""
        if self._client.status != "running":
            raise self._gone()
        if self._workers():
            self._lonely = None
            return
        self._lonely = self._lonely or time.monotonic()
        if time.monotonic() - self._lonely > PATIENCE_SECONDS:
            raise ValueError(
                f"the scheduler at {self.address} has had no worker for {PATIENCE_SECONDS:.0f} s"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._executor.shutdown(wait=False)
        self._client.close(timeout=CONNECT_SECONDS)


def versions() -> dict[str, str | None]:
    """What decides numbers, of the process that asks."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in SAME:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
