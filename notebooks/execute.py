"""Execute every notebook source and write the `.ipynb` beside it: `python -m notebooks.execute`.

The source is the `.py`; the `.ipynb` is made from it. Nothing that changes from run to run is kept (no
times, no execution counts of the session, no program versions), so executing again changes nothing.
"""

import argparse
import asyncio
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from notebooks.teaching import STILL
from verification.files import write

FOLDER = Path(__file__).resolve().parent
TIMEOUT = 300
"""Seconds a cell may take."""


def sources(folder: Path = FOLDER) -> list[Path]:
    """The notebooks' sources in order: files named `NN_name.py`."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def notebook_of(source: Path) -> Any:
    """The `nbformat.NotebookNode` of a source, without outputs, with cell ids that do not change."""
    import jupytext

    notebook = jupytext.read(source)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index:02d}"
        cell["metadata"] = {}
    return notebook


def executed(source: Path) -> Any:
    """The notebook after running all its cells in a fresh kernel; nbclient raises if a cell fails."""
    from nbclient import NotebookClient

    notebook = notebook_of(source)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(source.parent)}},
    )
    variables = {**os.environ, STILL: "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    # `execute` leaves the event loop it makes open; this closes it.
    asyncio.run(client.async_execute(env=variables))
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"] = _stable(source, cell["outputs"])
    return notebook


def _stable(source: Path, outputs: list[Any]) -> list[Any]:
    """Outputs without metadata, and one text per stream however the kernel happened to cut it."""
    kept: list[Any] = []
    for output in outputs:
        if output["output_type"] == "stream":
            if output["name"] == "stderr":
                raise RuntimeError(f"{source.name} wrote to stderr: {output['text'][:300]}")
            if kept and kept[-1]["output_type"] == "stream":
                kept[-1]["text"] += output["text"]
                continue
        else:
            output["metadata"] = {}
        kept.append(output)
    return kept


def text_of(notebook: Any) -> str:
    """The notebook as it is stored."""
    import nbformat

    return str(nbformat.writes(notebook, version=4)).rstrip("\n") + "\n"


def run(source: Path) -> tuple[Path, float, str]:
    """Execute one source and store it; its `.ipynb`, seconds, and what went wrong ("" if nothing)."""
    start = time.perf_counter()
    target = source.with_suffix(".ipynb")
    try:
        text = text_of(executed(source))
    except Exception as error:  # noqa: BLE001 - whatever a notebook raises is told of it
        return target, time.perf_counter() - start, str(error)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        write(target, text)
    return target, time.perf_counter() - start, ""


def main(arguments: list[str] | None = None) -> int:
    """Execute the named notebooks, all of them if none is named; exit status 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.execute", description=__doc__)
    parser.add_argument("names", nargs="*", help="numbers or names, such as 01 or 01_averaging")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time")
    options = parser.parse_args(arguments)
    found = sources()
    chosen = [
        s for s in found if not options.names or any(s.stem.startswith(n) for n in options.names)
    ]
    if not chosen:
        print(
            f"no notebook is called {' or '.join(options.names) or 'NN_name.py'}", file=sys.stderr
        )
        return 2
    failed = 0
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for target, seconds, error in pool.map(run, chosen):
            print(f"{'FAILED' if error else 'ok':7}{target.name} ({seconds:.0f} s)", flush=True)
            if error:
                failed += 1
                print(error, file=sys.stderr)
    print(f"{len(chosen) - failed} of {len(found)} notebooks on disk executed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
