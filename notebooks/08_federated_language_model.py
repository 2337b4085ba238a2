# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8 · A federated language model in five minutes
#
# The harness in `llm_validation` fine-tunes any Hugging Face model federatedly; transformers and PEFT supply the model, the
# methods come from `federated_lora`. Here the model is a tiny RoBERTa made on the spot and the reviews are made up, so that
# nothing is downloaded and a CPU is enough. The same lines run RoBERTa-Large on SST-2.
#
# **After this notebook you can**
# - bring your own text as a task, without writing code for it;
# - fine-tune an encoder with five clients under each method, policies named;
# - take the result away as a standard PEFT adapter.

# %%
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import matplotlib.pyplot as plt
import numpy as np
import torch
import transformers
from teaching import compare, line_of, plot_style, slide
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from federated_lora import Shape, method_named
from llm_validation.config import Config
from llm_validation.training.export import export
from llm_validation.training.loop import run

plot_style()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# **Question 1.** What does the harness need of your text? *Predict:* which of the fields below are fixed, and which can you
# name yourself?

# %%
GOOD = "good great lovely brilliant warm funny moving sharp fresh clever".split()
BAD = "bad awful dull stale cold boring clumsy flat weak silly".split()
NEUTRAL = (
    "the film a story with an actor scene plot music and it was is very really quite its".split()
)
rng = np.random.default_rng(0)


def review(label):
    words = [*rng.choice(NEUTRAL, 6), *rng.choice(GOOD if label else BAD, 2)]
    return " ".join(rng.permutation(words))


for split, count in (("train", 600), ("validation", 200)):
    rows = [{"text": review(k % 2), "label": k % 2} for k in range(count)]
    (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
print(rows[0], rows[1], sep="\n")

# %% [markdown]
# The files' names are fixed (`train`, `validation`); the columns are yours, and are checked before any work.
#
# **Question 2.** A model: two layers, 32 wide, random weights, a vocabulary of 42 words. *Predict:* what accuracy does it have
# before training?

# %%
words = ["<pad>", "<s>", "</s>", "<unk>", *sorted({*GOOD, *BAD, *NEUTRAL})]
raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
raw.pre_tokenizer = pre_tokenizers.Whitespace()
raw.post_processor = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
)
special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
base = folder / "base"
transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **special).save_pretrained(base)
torch.manual_seed(0)
tiny = transformers.RobertaConfig(
    vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=32, type_vocab_size=1, pad_token_id=0,
    bos_token_id=1, eos_token_id=2, initializer_range=0.2,
)  # fmt: skip
transformers.RobertaModel(tiny).save_pretrained(base)
config = Config(
    model=str(base), task="custom", data_dir=str(folder), text_columns=("text",), label_column="label",
    clients=5, split="dirichlet", dirichlet_alpha=0.5, rounds=30, local_steps=5, batch_size=16,
    rank=2, lora_alpha=4.0, lora_dropout=0.0, learning_rate=0.02, head="frozen", max_length=16,
    device="cpu", threads=1, evaluate_every=5,
)  # fmt: skip
first = run(replace(config, rounds=1, evaluate_every=1))
untrained = first.rows[0]["accuracy"]
print(f"accuracy before training {untrained:.3f}")

# %% [markdown]
# A coin. The head is frozen here (a named policy), so that everything must be learnt by the adapters.
#
# **Question 3.** The usual LoRA start is $A$ random, $B=0$. *Predict:* which factor does RoLoRA train in round 1, and would the
# other order move anything?

# %%
first_round = first.rows[-1]
print(
    "round 1 trained:",
    first_round["trained"],
    "| relative change of the factors:",
    f"{first_round['factor_change']:.3g}",
)

# %% [markdown]
# $B$ first: with $B=0$ the gradient of $A$ is zero, an $A$-round would be wasted.
#
# **Question 4.** The three methods, same data, split, seed and learning rate. *Predict* the order of the curves. (One seed
# shows how to run it; it does not decide anything. The claims `llm-ranking` and the rest need several, and a grid of rates.)

# %%
results = {m: run(replace(config, method=m)) for m in ("ffa", "fedavg", "rolora")}


def curve(result):
    rows = [r for r in result.rows if isinstance(r["accuracy"], float)]
    return [r["round"] for r in rows], [r["accuracy"] for r in rows]


for name, result in results.items():
    plt.plot(*curve(result), **line_of(name))
plt.xlabel("round")
plt.ylabel("validation accuracy (200 reviews, one seed)")
plt.legend()
plt.show()

# %% [markdown]
# **Question 5.** What did each send? *Predict* the ratio of the second bar to the third.

# %%
numbers = {m: sum(r["numbers_up"] or 0 for r in result.rows) for m, result in results.items()}
plt.bar(list(numbers), [n / 1e3 for n in numbers.values()], color="0.6")
plt.ylabel("thousand numbers sent up, all clients")
plt.show()

# %% [markdown]
# **Question 6.** Less alike clients: move the slider for Dirichlet's $\alpha$. *Predict* what small $\alpha$ does to RoLoRA.


# %%
def skewed(alpha):
    result = run(replace(config, dirichlet_alpha=alpha, rounds=20))
    plt.plot(*curve(result), **line_of("rolora"))
    plt.axhline(0.5, color="k", linewidth=0.8, linestyle=":", label="guessing")
    plt.ylim(0.4, 1.0)
    plt.xlabel("round")
    plt.ylabel("validation accuracy")
    plt.title(f"Dirichlet α = {alpha}, one seed")
    plt.legend()


slide(skewed, alpha=[0.1, 0.3, 1.0, 3.0, 10.0])

# %% [markdown]
# It slows it down: a client that holds one class only learns to say that class, and the average has less to agree on.
#
# The result leaves the harness as a PEFT adapter that `PeftModel.from_pretrained` loads. With a real model and data the
# same run is one command: `rolora llm run --model MODEL --task sst2 --data-dir DIR --clients 10 --method rolora`.

# %%
exported = export(results["rolora"].space, results["rolora"].server, folder / "adapter")
files = sorted(path.name for path in exported[0].iterdir())
print(files)

# %% [markdown]
# **Exercise 1.** RoBERTa-Large: 24 layers, query and value adapted, width 1024, rank 4. How many numbers does a RoLoRA client
# send in a $B$-round?
#
# **Exercise 2.** And how many times as many does a FedAvg-LoRA client send?

# %%
my_numbers, my_ratio = ..., ...  # your answers

# %%
solution_1, solution_2 = 24 * 2 * 4 * 1024, 2.0
compare(my_numbers, solution_1)
compare(my_ratio, solution_2)
large = [Shape(1024, 4, 1024)] * 48
assert method_named("rolora").traffic(large, 1).up == solution_1
assert method_named("fedavg").traffic(large, 1).up == solution_2 * solution_1

# %%
# What this notebook rests on. A failure here means that a sentence above is wrong.
final = {m: curve(result)[1][-1] for m, result in results.items()}
assert (
    abs(untrained - 0.5) < 0.15
    and first_round["trained"] == "B"
    and first_round["factor_change"] > 0
)
assert final["rolora"] > 0.65 and final["rolora"] > untrained + 0.1
assert numbers["fedavg"] == 2 * numbers["rolora"]
assert {"adapter_config.json", "adapter_model.safetensors"} <= set(files)
