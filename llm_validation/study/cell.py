"""What the studies on the small encoder share: one run of a cell, the command, and the manifest's machine."""

import argparse
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llm_validation.base.encoder import minilm_folder
from llm_validation.config import Config
from llm_validation.training.manifest import digest
from verification import paired_study
from verification.codec import json_text
from verification.files import require_writable, write
from verification.paired_study import Design, Point, Runner
from verification.sweep.dispatch import stoppable

if TYPE_CHECKING:
    from llm_validation.training.loop import Result

MODEL = "all-MiniLM-L6-v2"
FOLDERS = frozenset({"checkpoint_every", "model", "data_dir"})
"""Values of a configuration that a manifest tells elsewhere, or not."""
MACHINE: dict[str, Any] = {
    "dtype": "bfloat16",
    "max_length": 64,
    "clients_at_once": 20,
    "device": "cpu",
    "threads": 1,
}
"""Short texts and half the digits: what one core can do."""
LARGER_CLASS = {"sst2": 100 * 444 / 872, "rte": 100 * 146 / 277}
"""Per cent of the larger class in GLUE's validation splits: what a model reaches that learned nothing."""
LEARNED = 5.0
"""Points above the larger class from which on a task counts as learned."""
T = TypeVar("T")


def result_of(config: Config, held_out: int, measured: Collection[int] = ()) -> "Result | None":
    """A run's result, None if it diverged.

    Args:
        held_out: examples of the training split that it is measured on, cut off by its seed; 0 for the
            validation split.
        measured: rounds after which it is, if not the usual.
    """
    from llm_validation.tasks import registry
    from llm_validation.training import sweep
    from llm_validation.training.loop import DivergedError, run

    data = registry.load(config)
    if held_out:
        data = sweep.held_out(data, config.seed)
        config = config.changed(eval_examples=held_out)
    try:
        return run(config, data=data, evaluate_start=False, measured=measured)
    except DivergedError:
        return None


def unlearned(task: str, best: float) -> str:
    """A sentence for a task that nobody learned, by the best accuracy in per cent; "" for another one."""
    chance = LARGER_CLASS[task]
    if best >= chance + LEARNED:
        return ""
    return (
        f" Nothing is learned here: the larger class alone makes {chance:.1f} %, so this task says nothing"
        " for or against the claim."
    )


def command(
    doc: str | None,
    name: str,
    design: Design,
    measure: Callable[..., Any],
    search: Callable[[Runner, str, Design], T],
    rows: Callable[[Mapping[Point, Mapping[str, T]]], Sequence[Mapping[str, Any]]],
    told: Callable[[], Mapping[str, Any]],
    prepared: Callable[[str, str, Path], str] = lambda model, _data_dir, _out: model,
) -> None:
    """Run or continue a study, and write its table and its manifest.

    Args:
        doc: the module's docstring.
        name: of both files.
        measure: `measure(model, data_dir, point, method, rate, seeds)` runs one cell.
        search, rows: as in `paired_study.run`.
        told: the manifest beside the table's digest and the machine.
        prepared: `prepared(model, data_dir, out)` is the checkpoint that the runs start from.
    """
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder with a subfolder per GLUE task")
    parser.add_argument("--out", type=Path, default=Path("results") / name)
    parser.add_argument("--model", default=None, help="checkpoint folder; MiniLM if not given")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes that work on different cells"
    )
    parser.add_argument("--scheduler", default=None, help="a Dask scheduler, as tcp://host:8786")
    chosen = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    require_writable(chosen.out)
    table = chosen.out / f"{name}.csv"
    model = prepared(chosen.model or str(minilm_folder()), chosen.data_dir, chosen.out)
    own = partial(measure, model, chosen.data_dir)
    where = {"jobs": chosen.jobs, "scheduler": chosen.scheduler}
    told_of = partial(print, flush=True)
    try:
        with stoppable():
            paired_study.run(design, own, search, table=table, rows=rows, progress=told_of, **where)
    except KeyboardInterrupt as stopped:
        parser.exit(
            getattr(stopped, "status", 130),
            f"stopped by {stopped}: finished runs are kept in {chosen.out}, and the same command goes on\n",
        )
    manifest = {
        "schema_version": 1,
        "table_sha256": digest(table.read_text("utf-8")),
        "model": f"{MODEL} (BERT, 6 layers, 22.7 M parameters), frozen, bfloat16",
        **told(),
        "environment": _environment(),
    }
    write(table.with_suffix(".json"), json_text(manifest, by_name=True))
    print(f"finished: {table}")


def _environment() -> dict[str, Any]:
    import platform
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in ("torch", "transformers", "peft", "numpy")},
    }
