"""Small runs of the network laboratory, as options of a Flower run and as the laboratory's own."""

from functools import cache

from safetensors.torch import load_file

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
