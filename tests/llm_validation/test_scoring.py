"""Generated answers: what is read out of a text, and how that scores beside the options' likelihoods."""

import json

import numpy as np
import pytest
import torch

from llm_validation.base import generation
from llm_validation.base.encoding import collate, cut_prompt
from llm_validation.config import Config
from llm_validation.layers.losses import client_losses
from llm_validation.tasks.commonsense import instructed
from llm_validation.tasks.extract import extract
from llm_validation.training import evaluation
from llm_validation.training.evaluation import Evaluator
from llm_validation.training.loop import run
from tests.support.llm_bench import opened

BOTH = ("true", "false")
PAIR = ("solution1", "solution2")
FIVE = ("answer1", "answer2", "answer3", "answer4", "answer5")
ENDS = ("ending1", "ending2", "ending3", "ending4")
OPTIONS = ("option1", "option2")
HAND = [
    (BOTH, "the correct answer is true", "true"),
    (BOTH, "the correct answer is false", "false"),
    (BOTH, "true", "true"),
    (BOTH, "false", "false"),
    (BOTH, " \n true\n", "true"),
    (BOTH, "false.", "false"),
    (BOTH, "true, because the passage says so", "true"),
    (BOTH, "not true", "true"),
    (BOTH, "it is false, not true", "false"),
    (BOTH, "true or false", "true"),
    (BOTH, "false/true", "false"),
    (BOTH, "true true true", "true"),
    (BOTH, "truefalse", "true"),
    (BOTH, "falsetrue", "false"),
    (BOTH, "untrue", "true"),
    (BOTH, "falsehood", "false"),
    (BOTH, "True", None),
    (BOTH, "FALSE", None),
    (BOTH, "True, and so it is true", "true"),
    (BOTH, "False, that is not true", "true"),
    (BOTH, "yes", None),
    (BOTH, "no", None),
    (BOTH, "", None),
    (BOTH, "tru", None),
    (BOTH, "t r u e", None),
    (BOTH, "the answer is correct", None),
    (BOTH, "1", None),
    (BOTH, "the correct answer is", None),
    (BOTH, "answer1", None),
    (BOTH, '"false"', "false"),
    (PAIR, "the correct answer is solution1", "solution1"),
    (PAIR, "the correct answer is solution2", "solution2"),
    (PAIR, "solution 1", None),
    (PAIR, "Solution1", None),
    (PAIR, "solution", None),
    (PAIR, "solution3, or solution2", "solution2"),
    (PAIR, "solution12", "solution1"),
    (PAIR, "solution2 is better than solution1", "solution2"),
    (PAIR, "I would take the first", None),
    (FIVE, "the correct answer is answer1", "answer1"),
    (FIVE, "the correct answer is answer5", "answer5"),
    (FIVE, "the correct answer is answer6", None),
    (FIVE, "answer3: because of the wind", "answer3"),
    (FIVE, "the answer is answer4", "answer4"),
    (FIVE, "the answer4 is right, answer2 is not", "answer4"),
    (FIVE, "### Response:\nanswer2", "answer2"),
    (FIVE, "(answer2)", "answer2"),
    (FIVE, "answeranswer3", "answer3"),
    (FIVE, "C", None),
    (FIVE, "answer", None),
    (ENDS, "the correct answer is ending4", "ending4"),
    (ENDS, "the ending is ending2", "ending2"),
    (ENDS, "an ending", None),
    (ENDS, "ending0 ending1", "ending1"),
    (OPTIONS, "the correct answer is option1", "option1"),
    (OPTIONS, "option2option1", "option2"),
    (OPTIONS, "option 2", None),
    (OPTIONS, "no option1", "option1"),
    (("no", "not sure"), "I am not sure", "not sure"),
    (("a.c", "b"), "abc", "b"),
]


@pytest.mark.parametrize(("words", "text", "chosen"), HAND)
def test_answers_read_by_hand(words, text, chosen):
    assert extract(text, words) == chosen
    assert extract(text, words[::-1]) == chosen


def test_the_table_by_hand_has_sixty_answers():
    assert len({(words, text) for words, text, _ in HAND}) == 60
    assert extract("anything", ()) is None


def questions(folder, train, test, seed=0):
    """A `boolq` whose answer is told by the question's first word."""
    rng = np.random.default_rng(seed)

    def row(k):
        right = BOTH[k % 2]
        words = [f"w{k % 2}", *(f"w{n}" for n in rng.integers(10, 90, rng.integers(1, 6)))]
        text = f"{' '.join(words)} \n\nAnswer format: true/false"
        return {"instruction": text, "input": "", "output": "", "answer": right}

    (folder / "boolq").mkdir()
    for name, count in (("train", train), ("test", test)):
        path = folder / "boolq" / f"{name}.json"
        path.write_text(json.dumps([row(k) for k in range(count)]))
    return str(folder)


def scored(bench, scoring):
    """The score of the model as it is."""
    config = bench.config.changed(scoring=scoring)
    return Evaluator(config, bench.space, bench.evaluator.examples).score(bench.server)


def test_an_untrained_model_scores_chance_by_likelihood_and_about_nothing_by_extraction(
    tiny, tmp_path
):
    bench = opened(tiny("llama", data_dir=questions(tmp_path, 8, 400)))
    chance, generated = scored(bench, "likelihood"), scored(bench, "extract")
    # Five standard deviations of 400 guesses.
    assert chance.accuracy == pytest.approx(0.5, abs=0.125)
    assert np.isnan(chance.by_likelihood)
    assert generated.accuracy <= 0.05
    assert (generated.by_likelihood, generated.loss) == (chance.accuracy, chance.loss)
    assert scored(bench, "generate").accuracy == 0.0


def taught(bench, steps=120):
    """Train the whole tiny model, not its adapters, to answer in the form."""
    space, encoded = bench.space, bench.encoded
    weights = [p for name, p in space.base.named_parameters() if "lora_" not in name]
    for weight in weights:
        weight.requires_grad_(True)
    optimiser = torch.optim.AdamW(weights, lr=1e-2)
    rng = np.random.default_rng(1)
    for _ in range(steps):
        batch = collate(encoded, [rng.choice(len(encoded), 32, replace=False)], space.pad_id)
        loss = client_losses(space.logits(batch), batch).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def test_a_model_taught_the_form_scores_the_same_both_ways(tiny, tmp_path):
    bench = opened(tiny("llama", data_dir=questions(tmp_path, 200, 200)))
    assert taught(bench) < 0.02
    for scoring in ("likelihood", "extract", "generate"):
        assert scored(bench, scoring).accuracy == 1.0
    assert scored(bench, "extract").by_likelihood == 1.0
    # Another right answer for every second question: both ways are wrong there.
    examples = bench.evaluator.examples
    examples.labels[::4] = 1 - examples.labels[::4]
    assert [scored(bench, s).accuracy for s in ("likelihood", "extract", "generate")] == [0.75] * 3


@torch.no_grad()
def word_by_word(space, prompt, room):
    """What the model continues a prompt with, by one whole forward pass a token."""
    ids = cut_prompt(space.tokenizer(prompt)["input_ids"], room, space.tokenizer.bos_token_id)
    new = []
    while len(new) < generation.NEW_TOKENS and new[-1:] != [space.tokenizer.eos_token_id]:
        logits = space.base(input_ids=torch.tensor([ids + new]), use_cache=False).logits
        new.append(int(logits[0, -1].argmax()))
    return space.tokenizer.decode(new, skip_special_tokens=True)


@pytest.mark.parametrize("room", [100, 24])  # every prompt fits, or every one is cut
def test_prompts_padded_together_are_continued_as_each_alone(tiny, tmp_path, room):
    bench = opened(tiny("llama", dtype="float64", data_dir=questions(tmp_path, 8, 40)))
    prompts = bench.evaluator.examples.prompts
    bench.space.model.eval()
    together = generation.answers(bench.space, prompts, room)
    assert together == [word_by_word(bench.space, prompt, room) for prompt in prompts]
    assert len(set(together)) > 1


def test_what_is_generated_is_scored_by_its_words_or_by_what_it_holds(tiny, monkeypatch):
    bench = opened(tiny("llama"))
    texts = bench.evaluator.examples
    right = [own[int(k)] for own, k in zip(texts.options, texts.labels, strict=True)]
    said = [f" {own} " if i % 2 else f"{own}, I think" for i, own in enumerate(right)]
    said[1] = "nonsense"
    monkeypatch.setattr(evaluation, "answers", lambda space, prompts, room, most=0: said)
    n = len(said)
    assert scored(bench, "generate").accuracy == pytest.approx((n // 2 - 1) / n)
    assert scored(bench, "extract").accuracy == pytest.approx((n - 1) / n)


def test_a_run_scored_by_extraction_tells_the_likelihood_beside(tiny):
    result = run(tiny("llama", scoring="extract", rounds=2, evaluate_every=2))
    plain = run(tiny("llama", rounds=2, evaluate_every=2))
    assert [row["accuracy_by_likelihood"] for row in result.rows] == [
        row["accuracy"] for row in plain.rows
    ]
    assert result.rows[1]["accuracy_by_likelihood"] is None
    assert "accuracy_by_likelihood" not in plain.rows[0]


def test_answers_beyond_the_models_positions_are_refused(gpt2, tmp_path):
    data = questions(tmp_path, 8, 8)
    own = {"model": gpt2, "task": "boolq", "data_dir": data, "clients": 2, "rounds": 1, "rank": 2}
    long = "w1 " * 110
    path = tmp_path / "boolq" / "test.json"
    rows = json.loads(path.read_text())
    rows[0]["instruction"] = long + rows[0]["instruction"]
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"max_length must be at most 128, the positions"):
        run(Config(**own, scoring="extract", max_length=128))
    assert len(run(Config(**own, max_length=128)).rows) == 2


def test_words_follow_their_examples():
    form = "q? \n\nAnswer format: {}"
    rows = [
        {"instruction": form.format("/".join(words)), "answer": words[-1]} for words in (BOTH, FIVE)
    ]
    found = instructed(rows, "here")
    assert found.choices == (BOTH, FIVE)
    assert found.take(np.array([1])).choices == (FIVE,)
