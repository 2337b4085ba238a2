"""What cannot work is refused in one sentence, before any work."""

import json

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
        ({"base_dropout": "model"}, "engine = one-by-one"),
        ({"momentum": 0.9}, "momentum belongs to optimiser = sgd"),
        ({"task": "sst3"}, "did you mean 'sst2'"),
        ({"task": "rte"}, "data folder .*rte does not exist"),
        ({"clients": 151}, "clients must not exceed the number of examples"),
        ({"split": "shards", "labels_per_client": 3}, "labels_per_client must lie between 1 and"),
        ({"target_modules": ("quary",)}, "did you mean 'query'"),
        ({"target_modules": ("out_proj",)}, "target module 'out_proj' is no linear layer"),
        ({"rank": 25}, "rank must not exceed the width of 'query' .24., got 25"),
        ({"model": "/nowhere/at/all"}, "model folder /nowhere/at/all does not exist"),
        ({"model": "my model!"}, "'my model!' is neither a local folder nor a hub id"),
        ({"device": "cuda"}, "no CUDA device"),
        ({"device": "cuda:1"}, "device = cuda:1, but no CUDA device"),
        ({"device": "gpu"}, "device must be one of auto, cpu, cuda, cuda:1, got 'gpu'"),
        ({"quantisation": "4bit"}, "pip install bitsandbytes"),
        ({"text_columns": ("a",)}, "text_columns belongs to task = custom, got a with sst2"),
        ({"scoring": "generate"}, "scoring = generate belongs .* got it with sst2"),
        ({"scoring": "extract"}, "scoring = extract belongs .* got it with sst2"),
        ({"warmup_rounds": 3}, "warmup_rounds must be below rounds = 3, got 3"),
        (
            {"learning_rate_end": 0.1},
            "learning_rate_end must be at most the learning rate 0.005, got 0.1",
        ),
        (
            {"learning_rate_end": 0.1, "learning_rate_grid": (0.2, 0.05)},
            "at most the learning rate 0.05, got 0.1",
        ),
        (
            {"server_momentum": 0.5, "method": "flora"},
            "server_momentum must be 0 with flora, which does more than average what came back, got 0.5",
        ),
        (
            {"server_momentum": 0.5, "method": "rolora-cv", "optimiser": "sgd"},
            "must be 0 with rolora-cv",
        ),
    ],
)
def test_a_run_that_cannot_be(tiny, changes, message, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=message):
        run(tiny(**changes))


def read(folder, task, train, evaluation=None, **columns):
    """A task's data from files of these texts, JSON lines, a JSON list or CSV as they look."""
    place = folder if task == "custom" else folder / task
    place.mkdir(exist_ok=True)
    last = "test" if task == "boolq" else "validation"
    for name, text in (("train", train), (last, train if evaluation is None else evaluation)):
        kind = {"[": "json", "{": "jsonl", "": "jsonl"}.get(text[:1], "csv")
        (place / f"{name}.{kind}").write_bytes(text.encode())
    return registry.load(Config("m", task, data_dir=str(folder), **columns)).train


GOOD = '{"sentence": "w1", "label": 0}\n{"sentence": "w2", "label": 1}\n'
OTHER = '[{"instruction": "q? Answer format: true/false", "output": "", "answer": "maybe"}]'


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("sst2", GOOD + '{"sentence": "w3", "label": 2}', "row 2 has label 2, allowed are 0 to 1"),
        ("sst2", GOOD + '{"sentence": "w3", "label": -1}', "row 2 has label -1"),
        ("sst2", '{"sentence": " ", "label": 1}', "row 0 has an empty text in column 'sentence'"),
        ("sst2", '{"text": "w1", "label": 1}', "'sentence' is missing, there are text, label"),
        ("sst2", '{"sentence": "w1"}', "column 'label' is missing"),
        ("sst2", "", "holds no examples"),
        ("sst2", "{}\n3", "one record with named columns"),
        ("sst2", '{"sentence": "w1", "la', "is not valid jsonl"),
        ("boolq", OTHER, r"row 0 answers 'maybe', its options are \['true', 'false'\]"),
        ("custom", "body,y\nw1,1\nw2,2\nw3,3\n", "0 to 2 for 3 classes, they go from 1 to 3"),
        ("custom", "body,y\nw1,-1\nw2,0\nw3,1\n", "0 to 2 for 3 classes, they go from -1 to 1"),
        ("custom", "body,y\nw1,70001\nw2,70002\n", "0 to 1 for 2 classes, they go from 70001"),
        ("custom", "body,y\nw1,a\nw2\nw3,b\n", "split train: row 1 has no label in column 'y'"),
        ("custom", "body,y\nw1,a\nw2,a\n", "'y' must hold at least two classes"),
        # Rows with too many cells do not hide which column is missing.
        ("custom", "body,topic\nw1,a,b\n", "column 'y' is missing, there are body, topic"),
    ],
)
def test_bad_data(tmp_path, task, text, message):
    columns = {"text_columns": ("body",), "label_column": "y"} if task == "custom" else {}
    with pytest.raises(ValueError, match=message):
        read(tmp_path, task, text, **columns)


def test_a_missing_split_and_an_unnamed_folder(tmp_path):
    read(tmp_path, "sst2", GOOD)
    (tmp_path / "sst2" / "validation.jsonl").unlink()
    with pytest.raises(ValueError, match="split 'validation' is missing"):
        registry.load(Config("m", "sst2", data_dir=str(tmp_path)))
    with pytest.raises(ValueError, match="needs --data-dir with train and validation files"):
        read(tmp_path, "custom", "body,y\nw1,0\nw2,1\n")


def custom(folder, text):
    return read(folder, "custom", text, text_columns=("body",), label_column="y")


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
    train = custom(tmp_path, text)
    assert train.labels.tolist() == ids
    assert train.names == (names or tuple(map(str, range(11))))


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
    monkeypatch.setattr(
        "datasets.load_dataset", lambda *names, split: [*map(json.loads, GOOD.splitlines())]
    )
    assert registry.load(Config("m", "sst2")).train.labels.tolist() == [0, 1]

    def absent(*names, split):
        raise ConnectionError

    monkeypatch.setattr("datasets.load_dataset", absent)
    with pytest.raises(ValueError, match=r"glue/sst2 is not here .* give --data-dir with a local"):
        registry.load(Config("m", "sst2"))


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
    for wrong, message in (({"rank_": 4}, "did you mean 'rank'"), ({}, "must name a task")):
        with pytest.raises(ValueError, match=message):
            Config.read({"model": "m", **wrong})


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
    for clients, rounds in ((3, 500), (20, 75), (50, 30)):
        assert preset_named(f"glue-qnli-{clients}-rolora").options["rounds"] == rounds
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
