"""A checkpoint whose head is a linear probe: a start that knows something, where few steps are affordable."""

from pathlib import Path

import numpy as np

from llm_validation.config import Config

SEED = 901
"""Which tenth of the training data, 1000 examples at most, it is fitted to."""
RIDGE = 0.5
"""Weight of the head's squared norm beside the examples' summed loss."""


def probed(config: Config, folder: Path) -> str:
    """Write a classifier with a head fitted to what it sees of the frozen encoder, if it is not there yet.

    Args:
        config: names the model and the task.
        folder: of the new checkpoint, returned as text.
    """
    import torch
    import transformers

    from llm_validation.base.encoding import collate, encode
    from llm_validation.tasks import registry
    from llm_validation.training.sweep import held_out

    if (folder / "config.json").is_file():
        return str(folder)
    examples = held_out(registry.load(config), SEED).evaluation
    tokenizer = transformers.AutoTokenizer.from_pretrained(config.model)
    kind = transformers.AutoModelForSequenceClassification
    labels = dict(enumerate(getattr(examples, "names", ())))
    model = kind.from_pretrained(config.model, num_labels=len(labels), id2label=labels).eval()
    data = encode(examples, tokenizer, config.max_length, segments=True)
    seen: list[torch.Tensor] = []
    hook = model.classifier.register_forward_pre_hook(lambda _head, given: seen.append(given[0]))
    with torch.no_grad():
        for index in np.split(np.arange(len(data)), range(64, len(data), 64)):
            batch = collate(data, [index], tokenizer.pad_token_id, torch.device("cpu"))
            model(**batch.inputs)
    hook.remove()
    inputs, right = torch.cat(seen), torch.tensor(data.labels)
    weights = (model.classifier.weight, model.classifier.bias)
    for weight in weights:
        torch.nn.init.zeros_(weight)
    search = torch.optim.LBFGS(weights, max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        cost = torch.nn.functional.cross_entropy(model.classifier(inputs), right, reduction="sum")
        cost = cost + RIDGE * model.classifier.weight.square().sum()
        cost.backward()
        return cost

    search.step(loss)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)
