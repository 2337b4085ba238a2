"""What the suite found, a row per case: as a table, JSON, or JUnit XML."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring


class Status(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_PROMISED = "not promised"
    """The method does not claim it, and it does not hold."""
    UNCLAIMED = "holds unclaimed"
    """The method does not claim it, but it holds."""
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Row:
    """One case.

    Attributes:
        case: its name.
        says: what it asks, in a sentence.
        defect: number of the known defect it is there for, 0 for algebra.
        status: how it ended.
        settings: in how many settings it was run.
        detail: the first failure, or why it does not apply.
    """

    case: str
    says: str
    defect: int
    status: Status
    settings: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found about one method."""

    method: str
    rows: Sequence[Row]

    @property
    def conforms(self) -> bool:
        """Whether no case failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the failed cases."""
        return tuple(row.case for row in self.rows if row.status is Status.FAILED)

    def json(self) -> dict[str, Any]:
        """For `json.dumps`."""
        return {
            "schema_version": 1,
            "method": self.method,
            "conforms": self.conforms,
            "cases": [asdict(row) for row in self.rows],
        }

    def junit(self) -> str:
        """A JUnit test suite; what does not apply or is not promised counts as skipped."""
        counts = {"tests": len(self.rows), "failures": len(self.failed)}
        skipped = [r for r in self.rows if r.status in {Status.NOT_PROMISED, Status.NOT_APPLICABLE}]
        suite = Element(
            "testsuite",
            {"name": f"conformance of {self.method}"}
            | {key: str(n) for key, n in (counts | {"skipped": len(skipped)}).items()},
        )
        for row in self.rows:
            case = SubElement(suite, "testcase", classname=self.method, name=row.case)
            if row.status is Status.FAILED:
                SubElement(case, "failure", message=row.says).text = row.detail
            elif row in skipped:
                SubElement(case, "skipped", message=row.detail or str(row.status))
        indent(suite)
        return tostring(suite, encoding="unicode") + "\n"

    def __str__(self) -> str:
        """A table of plain text."""
        lines = [f"{self.method}: {'conforms' if self.conforms else 'does not conform'}"]
        width = max(len(row.case) for row in self.rows)
        for row in self.rows:
            detail = f": {row.detail}" if row.detail else ""
            lines.append(f"  {row.case:{width}}  {row.status}{detail}")
        return "\n".join(lines)
