"""The verdict of every claim over seeds and under other kernels, as a page of the site; 1 if one differs.

A run is a `rolora verify` into a folder of its own; what was made there at the same commit is not made again.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from rolora.storage.environment import environment
from tests.support import rounding
from verification.files import write

PAGE = rounding.ROOT / "docs" / "verdicts.md"
HEAD = """# The same verdict everywhere

A verdict should say something of its claim, not of a seed or a machine. `make verdicts` decides every claim
with other seeds, and with the kernels that other CPUs would take (the settings of `make test-rounding`), and
writes this page. A verdict counts with its controls: where one did not come out as it must, the cell says so.

"""
AS_IT_IS = "as it is"

Found = Mapping[str, Mapping[str, str]]
"""What each run said: its name to claim ids and verdicts."""


def told(verdicts: Mapping[str, str]) -> str:
    """The verdict that all runs have, or the most frequent one, and which runs have another."""
    runs = defaultdict(list)
    for run, verdict in verdicts.items():
        runs[verdict].append(run)
    first, *others = sorted(runs, key=lambda verdict: -len(runs[verdict]))
    return "; ".join(
        [first, *(f"**{verdict}** at {', '.join(runs[verdict])}" for verdict in others)]
    )


def page(over: Mapping[str, Found], left_out: Iterable[str], said: str) -> tuple[str, list[str]]:
    """The page, and the claims whose verdict is not the same in all runs of a kind.

    Args:
        over: the runs by what is varied in them.
        left_out: settings this machine cannot show.
        said: the profile and how it was run.
    """
    ids = list(dict.fromkeys(c for found in over.values() for run in found.values() for c in run))
    rows, differing = [], []
    for claim in ids:
        of = [
            {run: found.get(claim, "absent") for run, found in runs.items()}
            for runs in over.values()
        ]
        equal = all(len(set(one.values())) == 1 for one in of)
        differing += [] if equal else [claim]
        cells = [f"`{claim}`", *map(told, of), "yes" if equal else "**no**"]
        rows.append(f"| {' | '.join(cells)} |")
    numbers = " and ".join(f"{len(runs)} {kind}" for kind, runs in over.items())
    summary = (
        f"Of {len(ids)} claims, {', '.join(f'`{c}`' for c in differing)} differ"
        if differing
        else f"Each of {len(ids)} claims has one verdict"
    )
    names = [f"- {kind}: {', '.join(runs)}" for kind, runs in over.items()]
    names += [f"- left out, this CPU cannot show it: {one}" for one in left_out]
    heading = ["claim", *over, "equal"]
    table = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|", *rows]
    text = "\n".join([f"**{summary} over {numbers}** ({said}).", "", *table, "", *names, ""])
    return HEAD + text, differing


def of_report(path: Path) -> dict[str, str]:
    """Verdicts of a report, and what is wrong with the controls; none if it is not of this commit."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if report["environment"]["commit"] != environment()["commit"]:
        return {}
    fine = ("negative_control_failed", "positive_control_held")
    wrong = ", but a control is not as it must be"
    return {
        c["id"]: c["verdict"] + wrong * (not all(c[key] for key in fine)) for c in report["claims"]
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing and write the page; 0 if every claim has one verdict over each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="how many, from 0 on")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--jobs", type=int, default=1, help="workers of verify")
    parser.add_argument("--store", type=Path, default=Path("results/verdicts"))
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.epilog = "All other words go to verify."
    asked, words = parser.parse_known_args(arguments)
    shown = [(one, needs) for one, needs in rounding.SETTINGS if one]
    can = [one for one, needs in shown if rounding.can_show(needs)]
    left_out = [rounding.text_of(one) for one, _ in shown if one not in can]
    plan = [("seeds", str(seed), {}, seed) for seed in range(asked.seeds)]
    plan += [("settings", rounding.text_of(one), one, 0) for one in can]
    over: dict[str, dict[str, dict[str, str]]] = {"seeds": {}, "settings": {}}
    start, made = time.monotonic(), 0
    for place, (kind, name, setting, seed) in enumerate(plan):
        folder = asked.store / asked.profile / f"{kind}-{name.replace(' ', '-')}"
        found = of_report(folder / "report.json")
        if not found:
            given = [*words, "--profile", asked.profile, "--seed", str(seed), "--resume"]
            own = {**os.environ, **rounding.ONE_THREAD, **setting}
            _, said = rounding.verdicts(own, asked.jobs, folder, given)
            found, made = of_report(folder / "report.json"), made + 1
            if not found:
                print(f"{kind} {name}: {said}", file=sys.stderr)
                return 2
        over[kind][name] = found
        left = (time.monotonic() - start) / max(made, 1) * (len(plan) - place - 1) / 60
        print(f"{place + 1} of {len(plan)}: {kind} {name}, about {left:.0f} min left", flush=True)
    over["settings"] = {AS_IT_IS: over["seeds"]["0"], **over["settings"]}
    said = f"`{asked.profile}` profile, settings at seed 0, commit {environment()['commit'][:7]}"
    text, differing = page(over, left_out, said)
    write(asked.page, text)
    print(f"{asked.page}: " + (f"{', '.join(differing)} differ" if differing else "all equal"))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
