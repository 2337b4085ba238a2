"""What cannot work is refused in one sentence, before any work."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from llm_validation.config import Config
from llm_validation.paper.presets import preset_named, presets
from llm_validation.tasks import registry
from llm_validation.training.loop import run
from llm_validation.training.sweep import best_rate
from verification.settings import read_toml


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "rolorra"}, "did you mean 'rolora'"),
        ({"split": "dirichlett"}, "did you mean 'dirichlet'"),
        ({"optimiser": "adam"}, "did you mean 'adamw'"),
        ({"clients": 0}, "clients must be a whole number of at least 1"),
        ({"rounds": 2.5}, "rounds must be a whole number"),
        ({"participation": 0.0}, "participation must be above 0"),
        ({"participation": 1.5}, "participation must be above 0 and at most 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0 and finite"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"learning_rate_grid": (1e-3, 0.0)}, "learning_rate_grid must be a list, each above 0"),
        ({"dirichlet_alpha": 0.0}, "dirichlet_alpha must be above 0"),
        ({"rank": 0}, "rank must be a whole number of at least 1"),
        ({"base_dropout": "model"}, "engine = one-by-one"),
        ({"momentum": 0.9}, "momentum belongs to optimiser = sgd"),
        ({"model": ""}, "model must be text that is not empty"),
    ],
)
def test_a_bad_configuration(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "sst3"}, "did you mean 'sst2'"),
        ({"task": "rte"}, "data folder .*rte does not exist"),
        ({"clients": 151}, "clients must not exceed the number of examples"),
        ({"split": "shards", "labels_per_client": 3}, "labels_per_client must lie between 1 and"),
        ({"target_modules": ("quary",)}, "did you mean 'query'"),
        ({"rank": 25}, "rank must not exceed the width of 'query' .24., got 25"),
        ({"model": "/nowhere/at/all"}, "model folder /nowhere/at/all does not exist"),
        ({"device": "cuda"}, "no CUDA device"),
        ({"quantisation": "4bit"}, "pip install bitsandbytes"),
    ],
)
def test_a_run_that_cannot_be(tiny, changes, message, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=message):
        run(tiny(**changes))


def write(folder, rows, name="train"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


GOOD = [{"sentence": "w1", "label": 0}, {"sentence": "w2", "label": 1}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*GOOD, {"sentence": "w3", "label": 2}], "row 2 has label 2, allowed are 0 to 1"),
        ([*GOOD, {"sentence": "w3", "label": -1}], "row 2 has label -1"),
        ([{"sentence": " ", "label": 1}, *GOOD], "row 0 has an empty text in column 'sentence'"),
        ([{"text": "w1", "label": 1}], "column 'sentence' is missing, there are text, label"),
        ([{"sentence": "w1"}], "column 'label' is missing"),
        ([], "holds no examples"),
        ([3], "one record with named columns"),
    ],
)
def test_bad_data(tmp_path, rows, message):
    write(tmp_path / "sst2", rows)
    write(tmp_path / "sst2", GOOD, "validation")
    with pytest.raises(ValueError, match=message):
        registry.load(Config("m", "sst2", data_dir=str(tmp_path)))


def test_a_missing_split_and_broken_json(tmp_path):
    write(tmp_path / "sst2", GOOD)
    with pytest.raises(ValueError, match="split 'validation' is missing"):
        registry.load(Config("m", "sst2", data_dir=str(tmp_path)))
    (tmp_path / "sst2" / "validation.jsonl").write_text('{"sentence": "w1", "la')
    with pytest.raises(ValueError, match="is not valid jsonl"):
        registry.load(Config("m", "sst2", data_dir=str(tmp_path)))


def test_commonsense_answers_must_be_options(tmp_path):
    folder = tmp_path / "boolq"
    folder.mkdir()
    record = {"instruction": "q? Answer format: true/false", "output": "", "answer": "maybe"}
    for name in ("train", "test"):
        (folder / f"{name}.json").write_text(json.dumps([record]))
    with pytest.raises(
        ValueError, match=r"row 0 answers 'maybe', its options are \['true', 'false'\]"
    ):
        registry.load(Config("m", "boolq", data_dir=str(tmp_path)))


def test_custom_csv_and_named_labels(tmp_path):
    (tmp_path / "train.csv").write_text("body,topic\nw1 w2,sport\nw3,news\n")
    (tmp_path / "test.csv").write_text("body,topic\nw5,news\n")
    options = dict(model="m", task="custom", data_dir=str(tmp_path))
    data = registry.load(Config(**options, text_columns=("body",), label_column="topic"))
    assert data.train.names == ("news", "sport")
    assert data.train.labels.tolist() == [1, 0]
    with pytest.raises(ValueError, match="needs --data-dir with train and validation files"):
        registry.load(Config(**options))
    with pytest.raises(ValueError, match="column 'label' is missing"):
        registry.load(Config(**options, text_columns=("body",)))


def custom(folder, text, name="train.csv"):
    """A custom task whose validation split is its training split."""
    for split in ("train", "validation"):
        (folder / name.replace("train", split)).write_bytes(text.encode())
    config = Config("m", "custom", data_dir=str(folder), text_columns=("body",), label_column="y")
    return registry.load(config).train


def test_a_spreadsheets_csv_is_read_as_it_was_meant(tmp_path):
    train = custom(tmp_path, '\ufeffbody,y\r\n"one\ntwo\u2028three", 0\r\nw2,1\r\n')
    assert train.texts == (("one\ntwo\u2028three",), ("w2",))
    assert train.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        (["true", "false"], ("false", "true"), [1, 0]),
        (["1.0", "0.0"], ("0", "1"), [1, 0]),
        (['" b"', '"a"'], ("a", "b"), [1, 0]),
        (["10", "2", "0", "1", "3", "4", "5", "6", "7", "8", "9"], None, [10, 2, 0, 1, *range(3, 10)]),
    ],
)  # fmt: skip
def test_labels_may_be_written_in_several_ways(tmp_path, labels, names, ids):
    text = "".join(f'{{"body": "w1", "y": {label}}}\n' for label in labels)
    train = custom(tmp_path, text, "train.jsonl")
    assert train.labels.tolist() == ids
    assert train.names == (names or tuple(map(str, range(11))))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("w1,1\nw2,2\nw3,3\n", "must be 0 to 2 for 3 classes, they go from 1 to 3"),
        ("w1,-1\nw2,0\nw3,1\n", "must be 0 to 2 for 3 classes, they go from -1 to 1"),
        ("w1,70001\nw2,70002\n", "must be 0 to 1 for 2 classes, they go from 70001"),
        ("w1,a\nw2\nw3,b\n", "split train: row 1 has no label in column 'y'"),
        ("w1,a\nw2,a\n", "'y' must hold at least two classes"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        custom(tmp_path, "body,y\n" + rows)


def test_rows_with_too_many_cells_do_not_hide_which_column_is_missing(tmp_path):
    with pytest.raises(ValueError, match="column 'y' is missing, there are body, topic"):
        custom(tmp_path, "body,topic\nw1,a,b\n")


def test_numbered_parquet_files_of_the_hub_and_broken_ones(tmp_path):
    folder = tmp_path / "sst2"
    folder.mkdir()
    for part in (0, 1):
        table = pyarrow.table({"sentence": [f"w{part}"], "label": [part], "idx": [part]})
        pyarrow.parquet.write_table(table, folder / f"train-0000{part}-of-00002.parquet")
    pyarrow.parquet.write_table(table, folder / "validation-00000-of-00001.parquet")
    config = Config("m", "sst2", data_dir=str(tmp_path))
    assert registry.load(config).train.texts == (("w0",), ("w1",))
    broken = folder / "train-00001-of-00002.parquet"
    broken.write_bytes(broken.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"train-00001-of-00002\.parquet is not valid parquet"):
        registry.load(config)


def test_offline_a_cached_data_set_is_read_and_another_says_how_to_do_without(monkeypatch):
    monkeypatch.setattr("datasets.load_dataset", lambda *names, split: GOOD)
    assert registry.load(Config("m", "sst2")).train.labels.tolist() == [0, 1]

    def absent(*names, split):
        raise ConnectionError

    monkeypatch.setattr("datasets.load_dataset", absent)
    with pytest.raises(ValueError, match=r"glue/sst2 is not here .* give --data-dir with a local"):
        registry.load(Config("m", "sst2"))


def test_an_option_of_another_kind_of_task_is_refused(tiny):
    with pytest.raises(ValueError, match="text_columns belongs to task = custom, got a with sst2"):
        run(tiny(text_columns=("a",)))
    with pytest.raises(ValueError, match=r"scoring = generate belongs .* got it with sst2"):
        run(tiny(scoring="generate"))


def test_a_folder_that_is_no_checkpoint_and_truncated_weights(tiny, roberta, tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint: it has no config\.json"):
        run(tiny(model=str(tmp_path)))
    broken = tmp_path / "broken"
    shutil.copytree(roberta, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated or corrupt"):
        run(tiny(model=str(broken)))
    weights.unlink()
    with pytest.raises(ValueError, match="it has no weight file"):
        run(tiny(model=str(broken)))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            "cannot be reached: give --model with a local folder",
        ),
        (
            {"HF_HUB_OFFLINE": "1"},
            "HF_HUB_OFFLINE forbids the hub: give --model with a local folder",
        ),
    ],
)
def test_an_unreachable_hub_fails_in_seconds(data_dir, environment, message, tmp_path):
    code = (
        "from llm_validation.config import Config; from llm_validation.base.models import build\n"
        f"build(Config('nobody/nothing', 'sst2', data_dir={data_dir!r}), causal=False, names=('a','b'))"
    )
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()
    }
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | {"HF_HOME": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 1
    assert message in done.stderr
    # The import of torch and transformers is most of it.
    assert time.perf_counter() - started < 60


def test_configuration_files(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('model = "m"\ntask = "sst2"\nlearning-rate = 1\ntarget_modules = ["query"]\n')
    config = Config.read({**read_toml(path), "rank": 8})
    assert (config.learning_rate, config.rank, config.target_modules) == (1.0, 8, ("query",))
    path.write_text("model = \n")
    with pytest.raises(ValueError, match="is not valid TOML"):
        read_toml(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"run\.toml is not valid TOML"):
        read_toml(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(ValueError, match="did you mean 'rank'"):
        Config.read({"model": "m", "task": "t", "ranks": 4})
    with pytest.raises(ValueError, match="clients must be a whole number"):
        Config.read({"model": "m", "task": "t", "clients": "many"})
    with pytest.raises(ValueError, match="must name a task"):
        Config.read({"model": "m"})


def test_the_words_of_a_configuration_make_it_again():
    config = Config("m", "sst2", rank=8, rslora=True, target_modules=("query", "key"))
    words = config.words("model", "task")
    said = "--model m --task sst2 --rank 8 --rslora --target-modules query,key"
    assert sorted(words) == sorted(said.split())
    assert words[words.index("--rank") + 1] == "8"


def test_places_do_not_count_for_the_fingerprint():
    one = Config("m", "sst2")
    assert one.fingerprint == one.changed(data_dir="/elsewhere", checkpoint_every=9).fingerprint
    assert one.fingerprint != one.changed(rank=5).fingerprint


def test_every_preset_is_a_configuration():
    names = [preset.name for preset in presets()]
    assert len(names) == len(set(names)) > 60
    for preset in presets():
        config = Config.read(preset.options)
        registry.task_named(config.task)
        assert preset.petaflop > 0
    assert preset_named("glue-qnli-3-rolora").options["rounds"] == 500
    assert preset_named("glue-qnli-20-rolora").options["rounds"] == 75
    assert preset_named("glue-qnli-50-rolora").options["rounds"] == 30
    both = [preset_named(f"glue-qnli-50-{m}").numbers_up for m in ("rolora", "fedavg")]
    assert 2 * both[0] == both[1]
    with pytest.raises(ValueError, match="did you mean 'glue-rte-50-rolora'"):
        preset_named("glue-rte-50-rolara")


def test_learning_rates_are_chosen_on_held_out_training_data(tiny, tmp_path):
    config = tiny(rounds=2, learning_rate_grid=(1e-3, 1e-2))
    chosen, trials = best_rate(config, tmp_path)
    best = max(trials, key=lambda trial: (trial["accuracy"], -trial["loss"]))
    assert chosen.learning_rate == best["learning_rate"]
    assert [trial["learning_rate"] for trial in trials] == [1e-3, 1e-2]
    only, none = best_rate(tiny(learning_rate_grid=(7e-3,)), tmp_path)
    assert (only.learning_rate, none) == (7e-3, [])
