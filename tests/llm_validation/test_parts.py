"""The parts by themselves: sampling, optimisers, batches, evaluation, export, memory."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel

from llm_validation.base import memory, token_cache
from llm_validation.base.encoding import IGNORED, collate, cut_prompt, encode
from llm_validation.base.models import load_tokenizer
from llm_validation.config import Config
from llm_validation.tasks import registry
from llm_validation.training import estimate
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.evaluation import budgeted
from llm_validation.training.export import export
from llm_validation.training.loop import run
from llm_validation.training.randomness import dropout_seed, local_batches
from llm_validation.training.server import Work
from tests.support.llm_bench import opened, work_of


@pytest.mark.parametrize(
    ("room", "bos", "kept"),
    [
        (5, 1, [1, 7, 8, 9]),  # it fits
        (4, 1, [1, 7, 8, 9]),
        (3, 1, [1, 8, 9]),  # the front goes, but not the opening token
        (2, 1, [1, 9]),
        (1, 1, [9]),
        (0, 1, []),
        (3, None, [7, 8, 9]),
        (3, 2, [7, 8, 9]),
    ],
)
def test_a_long_prompt_keeps_its_opening_token_and_its_end(room, bos, kept):
    assert cut_prompt([1, 7, 8, 9], room, bos) == kept


@given(
    n=st.integers(1, 40),
    batch=st.integers(1, 12),
    steps=st.integers(1, 6),
    visits=st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_a_client_walks_through_its_examples_epoch_by_epoch(n, batch, steps, visits):
    members = np.arange(100, 100 + n)
    lengths = np.random.default_rng(0).integers(1, 50, 200)
    drawn = [
        local_batches(3, members, lengths, 2, visit, visit + 1, steps, batch)
        for visit in range(visits)
    ]
    size = min(batch, n)
    assert all(len(b) == steps and all(part.size == size for part in b) for b in drawn)
    counts = np.bincount(np.concatenate([np.concatenate(b) for b in drawn]), minlength=200)[
        100 : 100 + n
    ]
    # Whatever was drawn, no example is ever more than one epoch ahead of another.
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == visits * steps * size


def test_minibatches_are_of_similar_length_and_in_the_clients_common_order():
    lengths = np.random.default_rng(1).integers(3, 60, 400)
    clients = [np.arange(0, 200), np.arange(200, 400)]
    batches = [
        local_batches(0, members, lengths, k, 0, 1, 5, 8) for k, members in enumerate(clients)
    ]
    means = np.array([[lengths[b].mean() for b in own] for own in batches])
    assert np.array_equal(np.argsort(means[0]), np.argsort(means[1]))


def test_dropout_seeds_differ_by_round_client_and_step():
    seeds = {dropout_seed(0, t, k, i) for t in range(1, 4) for k in range(4) for i in range(5)}
    assert len(seeds) == 60


@pytest.mark.parametrize(("kind", "left"), [("roberta", False), ("llama", True)])
def test_batches_pad_classification_right_and_causal_text_left(tiny, kind, left):
    bench = opened(tiny(kind))
    encoded, order = bench.encoded, np.argsort(bench.encoded.lengths)
    batch = collate(encoded, [order[:2], order[-3:]], bench.space.pad_id)
    assert batch.clients == 2
    assert batch.inputs["input_ids"].shape == (6, encoded.lengths.max())
    mask = batch.inputs["attention_mask"].numpy()
    assert mask[0].sum() == encoded.lengths[order[0]]
    assert bool(mask[0, -1]) == left
    assert mask[2].sum() == 1  # the padding row of the smaller client
    labels = batch.labels.numpy().reshape(6, -1)
    assert (labels[2] == IGNORED).all()
    assert batch.tokens == encoded.lengths[order[[0, 1, -3, -2, -1]]].sum()
    if left:
        tail = encoded.lengths[order[0]] - encoded.prompt[order[0]]
        assert (labels[0] != IGNORED).sum() == tail
        assert batch.inputs["position_ids"][0, -1] == encoded.lengths[order[0]] - 1


def test_evaluation_goes_through_every_example_once_within_its_tokens():
    lengths = np.random.default_rng(0).integers(3, 120, 500)
    batches = budgeted(lengths, 1000)
    assert sorted(np.concatenate(batches)) == list(range(500))
    padded = [own.size * lengths[own].max() for own in batches]
    assert max(padded) <= 1000
    assert sum(padded) < 1.15 * lengths.sum()
    assert [own.size for own in budgeted(lengths, 1)] == [1] * 500


@pytest.mark.parametrize("room", [128, 16])  # every prompt fits, or every one is cut
def test_option_likelihood_equals_the_literal_one(tiny, room):
    bench = opened(tiny("llama", init="false", dtype="float64", max_length=room))
    space, texts = bench.space, bench.evaluator.examples
    score = bench.evaluator.score(bench.server)
    space.model.eval()
    hits, loss, cut = 0, 0.0, 0
    for prompt, options, right in zip(texts.prompts, texts.options, texts.labels, strict=True):
        totals, lengths = [], []
        for option in options:
            opening, *head = space.tokenizer(prompt)["input_ids"]
            tail = [*space.tokenizer(option, add_special_tokens=False)["input_ids"], 2]
            over = max(0, 1 + len(head) + len(tail) - room)
            cut += over > 0
            head = [opening, *head[over:]]  # the model never saw a text without its opening token
            with torch.no_grad():
                logits = space.base(input_ids=torch.tensor([head + tail])).logits[0]
            chosen = logits.log_softmax(-1)[len(head) - 1 : -1]
            totals.append(float(chosen[torch.arange(len(tail)), torch.tensor(tail)].sum()))
            lengths.append(len(tail))
        hits += int(np.argmax(totals) == right)
        loss -= totals[right] / lengths[right]
    assert cut == (2 * len(texts) if room == 16 else 0)
    assert score.accuracy == hits / len(texts)
    assert score.loss == pytest.approx(loss / len(texts), rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "changes", "name", "classes"),
    [
        ("roberta", {}, "AutoModelForSequenceClassification", {"num_labels": 2}),
        ("llama", {"rslora": True}, "AutoModelForCausalLM", {}),
    ],
)
def test_an_exported_adapter_predicts_the_same(tiny, tmp_path, kind, changes, name, classes):
    config = tiny(kind, rounds=2, **changes)
    result = run(config)
    (folder,) = export(result.space, result.server, tmp_path / "adapter")
    base = getattr(transformers, name).from_pretrained(config.model, **classes)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(["w1 w2 w80", "w3"], padding=True, return_tensors="pt")
    result.space.model.eval()
    with torch.no_grad():
        plain = base(**inputs).logits
        loaded = PeftModel.from_pretrained(base, folder).eval()(**inputs).logits
        trained = result.space.base(**inputs).logits
    torch.testing.assert_close(loaded, trained, rtol=1e-6, atol=1e-6)
    assert float((loaded - plain).abs().max()) > 1e-4
    assert "/" not in (folder / "adapter_config.json").read_text().replace("\\/", "")


def test_local_heads_are_exported_client_by_client(tiny, tmp_path):
    result = run(tiny(rounds=1, head="local"))
    folders = export(result.space, result.server, tmp_path / "adapter")
    assert [folder.name for folder in folders] == [f"client-{k:04d}" for k in range(4)]
    # Nothing of it stays when another run is exported to the same place, nor the other way round.
    shared = run(tiny(rounds=1))
    assert export(shared.space, shared.server, tmp_path / "adapter") == [tmp_path / "adapter"]
    assert not list((tmp_path / "adapter").glob("client-*"))
    export(result.space, result.server, tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "adapter_model.safetensors").exists()


def saved_bytes(bench, clients, work):
    """Bytes autograd keeps in one training pass, the frozen model's parameters not counted."""
    engine = AllAtOnce(bench.config, bench.space, bench.encoded, clients)
    with estimate.saved_tensors(bench.space) as seen:
        engine.train(bench.server, work)
    return sum(seen.values())


def test_dropouts_masks_count_in_the_estimate(tiny):
    benches = [opened(tiny(lora_dropout=p)) for p in (0.0, 0.1)]
    without, held = (estimate.client_memory(b.config, b.space, b.encoded) for b in benches)
    rows, width, layers = 4, 24, 4
    masks = rows * int(benches[0].encoded.lengths.max()) * width * layers
    assert held.activations - without.activations >= masks
    assert held.passing <= 2 * without.passing


@pytest.mark.parametrize("method", ["fedavg", "rolora"])
def test_a_further_client_costs_its_own_activations_and_no_more(tiny, method):
    bench = opened(tiny(clients=8, local_steps=1, method=method, head="frozen", batch_size=8))
    work = work_of(bench)

    def held(clients, batch):
        part = Work(1, work.factors, work.clients[:clients], [batch] * clients, 1e-3)
        return saved_bytes(bench, clients, part)

    two, four, eight = (held(n, work.batches[0]) for n in (2, 4, 8))
    growth = (eight - four) / 4
    assert growth == pytest.approx((four - two) / 2, rel=0.02)
    predicted = estimate.client_memory(bench.config, bench.space, bench.encoded)
    # The prediction is for the longest examples there are, and both factors in training.
    assert growth <= predicted.total
    longest = [np.full(8, int(np.argmax(bench.encoded.lengths)))]
    share = (held(8, longest) - held(4, longest)) / 4 / predicted.activations
    assert 0.5 < share < 1.05 if method == "fedavg" else share < 1.0


@pytest.mark.parametrize(
    ("free", "changes", "message"),
    [
        (100_000, {}, "one client needs .* are free: lower batch_size or max_length"),
        (100_000, {"engine": "one-by-one"}, "one client needs .* are free: lower batch_size or"),
        (700_000, {"clients_at_once": 4}, "clients_at_once = 4 needs .* 0 chooses by itself"),
    ],
)
def test_a_run_that_does_not_fit_says_so_first(tiny, monkeypatch, free, changes, message):
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    with pytest.raises(ValueError, match=message):
        run(tiny(**changes))


VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
VERSION_2 = ("memory.max", "memory.current", "memory.stat")


@pytest.mark.parametrize(
    ("names", "held", "left"),
    [
        (VERSION_2, ("1000", "700", "anon 5\ninactive_file 50"), 350),
        (VERSION_2, ("max", "700", "inactive_file 50"), None),
        ([f"memory/{name}" for name in VERSION_1],
         ("900", "1000", "inactive_file 7\ntotal_inactive_file 40"), 0),
        ((), (), None),
    ],
)  # fmt: skip
def test_a_containers_limit_counts_as_the_free_memory(tmp_path, monkeypatch, names, held, left):
    for name, text in zip(names, held, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    free = memory.free_bytes(torch.device("cpu"))
    assert free == left if left is not None else free > 1_000_000


def test_clients_per_pass_follow_the_free_memory(tiny, monkeypatch):
    bench = opened(tiny(clients=8))
    given = bench.config, bench.space, bench.encoded
    one = estimate.client_memory(*given).total
    for free, clients in ((int(3.5 * one / estimate.MARGIN), 3), (1 << 50, 8)):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        assert estimate.clients_that_fit(*given) == clients


def rows_of(encoded):
    """Everything a split's encoding holds, as plain numbers."""
    types = None if encoded.types is None else [row.tolist() for row in encoded.types]
    cuts = None if encoded.prompt is None else encoded.prompt.tolist()
    return [row.tolist() for row in encoded.ids], types, cuts, encoded.lengths.tolist()


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_tokens_of_a_large_split_are_kept_and_read_where_they_lie(
    kind, request, data_dir, tmp_path, monkeypatch
):
    config = Config(
        request.getfixturevalue(kind), {"bert": "sst2"}.get(kind, "boolq"), data_dir=data_dir
    )
    examples, tokenizer = registry.load(config).train, load_tokenizer(config)

    def encoded(room=12, own=examples):
        return encode(own, tokenizer, room, segments=kind == "bert")

    plain = rows_of(encoded())
    monkeypatch.setattr(token_cache, "WORTH", 1)
    monkeypatch.setenv("ROLORA_CACHE", str(tmp_path))
    assert rows_of(encoded()) == plain
    (folder,) = (tmp_path / "tokens").iterdir()
    tokenizer("w1 w2", truncation=True, max_length=3)  # leaves its mark on the tokenizer
    called = []
    real = type(tokenizer).__call__
    monkeypatch.setattr(
        type(tokenizer), "__call__", lambda *a, **k: called.append(1) or real(*a, **k)
    )
    again = encoded()
    assert (called, rows_of(again)) == ([], plain)
    assert isinstance(again.ids.flat.base, np.memmap)
    assert [row.tolist() for row in again.ids[-2:]] == plain[0][-2:]
    with pytest.raises(IndexError):
        again.ids[len(plain[0])]
    for file in folder.iterdir():
        for damage in (
            lambda held: held[:-5],
            lambda held: held[:-1] + bytes([held[-1] ^ 1]),
            None,
        ):
            held = file.read_bytes()
            file.unlink() if damage is None else file.write_bytes(damage(held))
            called.clear()
            assert rows_of(encoded()) == plain
            assert called
    # Another length, or one other text, has tokens of its own.
    for more in ({"room": 9}, {"own": examples.take(np.arange(1, len(examples)))}):
        called.clear()
        encoded(**more)
        assert called
    assert len(list((tmp_path / "tokens").iterdir())) == 3
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    monkeypatch.setenv("ROLORA_CACHE", str(blocked))
    assert rows_of(encoded()) == plain
    monkeypatch.setenv("ROLORA_CACHE", "")
    assert token_cache.place() is None
    assert rows_of(encoded()) == plain
