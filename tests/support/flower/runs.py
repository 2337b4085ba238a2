"""Small runs of the network laboratory, as options of a Flower run and as the laboratory's own."""

import json
from functools import cache

from safetensors.torch import load_file

from federation import checkpoint
from llm_validation.config import Config
from llm_validation.training import loop
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment

SMALL = {
    "dtype": "float64", "clients": 4, "rounds": 4, "hidden": 20, "rank": 3, "local_steps": 3, "batch_size": 8,
    "learning_rate": 0.3, "evaluate_every": 4, "probe": 0,
}  # fmt: skip


def told(values):
    """Options as `flwr run --run-config` takes them."""
    return ", ".join(f"{k.replace('_', '-')}={_toml(v)}" for k, v in values.items())


def _toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else repr(value)


@cache
def _own(items, engine):
    config = Configuration.read(dict(items)).changed(engine=engine)
    return experiment.run(config, load())


def own(values, engine="all-at-once"):
    """What the laboratory makes of it in one process."""
    return _own(tuple(values.items()), engine)


def farthest(out, values, engine="all-at-once"):
    """The largest difference of any final weight in that folder from the laboratory's own."""
    found, wanted = load_file(out / "weights.safetensors"), own(values, engine).weights
    assert found.keys() == wanted.keys()
    return max(float((found[name] - wanted[name]).abs().max()) for name in wanted)


def language(model, **changes):
    """A small run of the language model."""
    return dict(
        model=model, task="sst2", clients=3, rounds=2, local_steps=2, batch_size=4, rank=2, lora_alpha=4.0,
        learning_rate=5e-3, max_length=48, device="cpu", dtype="float64",
    ) | changes  # fmt: skip


def same_language_run(out, values, data_dir):
    """Its last checkpoint beside that of the same run in one process, to the last digits."""
    config = Config.read({**values, "data_dir": data_dir, "engine": "one-by-one"})
    loop.run(config.changed(checkpoint_every=1), folder=out / "own")
    ours, theirs = (_stored(folder / "checkpoints") for folder in (out, out / "own"))
    assert ours.tensors.keys() == theirs.tensors.keys()
    gaps = [
        float((ours.tensors[n] - x).abs().max()) for n, x in theirs.tensors.items() if x.numel()
    ]
    assert max(gaps) < 1e-12
    assert [r["train_loss"] for r in ours.rows] == [r["train_loss"] for r in theirs.rows]
    assert len(ours.rows) == 3


def _stored(folder):
    run = json.loads((folder / "round-000002/state.json").read_text())["run"]
    return checkpoint.read(folder, run)
