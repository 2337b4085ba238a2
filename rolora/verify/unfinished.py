"""The claims that an interrupted verification had finished, one JSON file each, so that it can go on."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import util
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rolora.storage.environment import environment
from rolora.verify.runner import Outcome
from verification.budget import Budget
from verification.claim import Claim
from verification.discovery import Found
from verification.files import write
from verification.finding import Finding

FOLDER = ".unfinished"
SOURCES = (
    "verification", "federated_lora", "federation", "theory",
    "linear_model", "nonlinear_model", "llm_validation", "rolora",
)  # fmt: skip
"""Packages whose source decides what a check finds; committed results inside them count too."""


class Unfinished:
    """Finished claims of a run that has not written its report yet, in a hidden folder inside its own.

    A file is taken up again only by the same source, versions, profile, seed and folders, and by the same
    parameters of the checks.
    """

    def __init__(
        self, out: Path, budget: Budget, parameters: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = out / FOLDER
        self._finding = TypeAdapter(Finding)
        self._fingerprint = _fingerprint(f"{budget} {dict(parameters or {})}")

    def keep(self, outcome: Outcome) -> Outcome:
        """Write one claim's outcome; a check that stopped with an error is not kept, but tried again.

        What it returns is as it will be read back, so that a run never interrupted reports the same.
        """
        if outcome.error or outcome.finding is None or outcome.control is None:
            return outcome
        body = {
            "fingerprint": self._fingerprint,
            "finding": asdict(outcome.finding),
            "control": asdict(outcome.control),
            "positive": outcome.positive and asdict(outcome.positive),
            "warnings": outcome.warnings,
            "svg": outcome.svg,
        }
        text = json.dumps(body, default=lambda value: value.tolist())
        # Where it cannot be kept the run goes on: the report will say what is wrong with the folder.
        with contextlib.suppress(ValueError):
            write(self._path(outcome.claim.id), text)
        return self._outcome(outcome.claim, json.loads(text))

    def read(self, entries: Iterable[Found[Claim]]) -> dict[str, Outcome]:
        """The outcomes kept for these claims, by id; files of another run or damaged ones are passed over."""
        found = {}
        for entry in entries:
            try:
                body = json.loads(self._path(entry.name).read_text(encoding="utf-8"))
                if body["fingerprint"] == self._fingerprint:
                    found[entry.name] = self._outcome(entry.value, body)
            except (OSError, ValueError, KeyError, TypeError):
                continue  # it is checked again
        return found

    def clear(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, claim_id: str) -> Path:
        return self.folder / f"{claim_id}.json"

    def _outcome(self, claim: Any, body: dict[str, Any]) -> Outcome:
        finding, control, positive = (
            body[name] and self._finding.validate_python(body[name])
            for name in ("finding", "control", "positive")
        )
        warnings = tuple(body["warnings"])
        return Outcome(claim, finding, control, positive, warnings=warnings, svg=body["svg"])


def _fingerprint(setting: str) -> str:
    facts = environment()
    digest = hashlib.sha256()
    for part in (facts["python"], facts["packages"], setting):
        digest.update(json.dumps(part, sort_keys=True).encode())
    for package in SOURCES:
        spec = util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec is not None else ():
            for path in sorted(Path(root).rglob("*")):
                if path.suffix in (".py", ".csv", ".json"):
                    digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
