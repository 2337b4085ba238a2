"""Loading a base model and putting LoRA on it: transformers and PEFT do it, this file checks and names."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llm_validation.base import base_model
from llm_validation.base.encoding import Batch
from llm_validation.base.memory import require_base_fits
from llm_validation.config import Config
from llm_validation.hub import offline
from llm_validation.layers.dropout import ClientDropout, PassHolder
from llm_validation.layers.per_client import InBasePrecision
from llm_validation.training.randomness import torch_seed

ADAPTER = "default"
"""PEFT's name of the one adapter."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
_TARGETS = (
    ("query", "value"), ("q_proj", "v_proj"), ("q_lin", "v_lin"), ("query_proj", "value_proj"),
    ("c_attn",), ("query_key_value",), ("Wqkv",), ("qkv_proj",),
)  # fmt: skip
_INITS: dict[str, bool | str] = {"true": True, "false": False}


@dataclass(eq=False)
class Workspace:
    """One frozen base with one adapter on it, shared by all clients.

    Attributes:
        layers: layer name to PEFT LoRA layer.
        head: name to parameter of the classification head; empty for a causal LM.
        causal: whether the model continues text.
        loaded: the frozen weights that were changed, as they were loaded, by layer.
        merged: what they are changed by now.
        holder: where engines announce the pass under way to the dropout layers.
    """

    model: Any
    tokenizer: Any
    layers: dict[str, Any]
    head: dict[str, nn.Parameter]
    causal: bool
    device: torch.device
    holder: PassHolder = field(default_factory=PassHolder)
    loaded: dict[str, torch.Tensor] = field(default_factory=dict)
    merged: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def base(self) -> Any:
        """The transformers model with the LoRA layers inside."""
        return self.model.get_base_model()

    @property
    def pad_id(self) -> int:
        """Token id that pads."""
        return int(self.tokenizer.pad_token_id)

    @property
    def segments(self) -> bool:
        """Whether the model has more than one segment (token type)."""
        return getattr(self.base.config, "type_vocab_size", 0) > 1

    def logits(self, batch: Batch) -> torch.Tensor:
        """Class logits, or those of the last positions of causal text."""
        if not self.causal:
            return self.base(**batch.inputs).logits
        logits = self.base(**batch.inputs, use_cache=False, logits_to_keep=batch.tail).logits
        return logits[:, -batch.tail :]


def resolve_device(name: str) -> torch.device:
    """The device of a configuration."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device, there = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device = {name}, but no CUDA device is available; use device = cpu")
    if device.type == "cuda" and (device.index or 0) >= there:
        raise ValueError(f"device = {name}, but the CUDA devices are cuda:0 to cuda:{there - 1}")
    return device


def build(config: Config, *, causal: bool, names: tuple[str, ...] = ()) -> Workspace:
    """Load the base, check the adapter's shape against it, and put the adapter on.

    Raises ValueError for any reason of `check_checkpoint`, an unknown target module, a rank above a layer's
    width, an unsupported head, missing bitsandbytes, or a base that does not fit.
    """
    base_model.check_checkpoint(config.model)
    device = resolve_device(config.device)
    tokenizer = load_tokenizer(config)
    base = load_base(config, causal=causal, labels=len(names), device=device)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise ValueError(
            f"tokenizer of {config.model} has no token to pad with: none for padding, end or unknown words"
        )
    base.config.pad_token_id = tokenizer.pad_token_id
    return attach(config, base, tokenizer, causal=causal, device=device)


def load_base(config: Config, *, causal: bool, labels: int, device: torch.device) -> Any:
    """The transformers model, its head (if any) drawn from the run's seed."""
    import transformers

    kind = getattr(
        transformers, "AutoModelForCausalLM" if causal else "AutoModelForSequenceClassification"
    )
    settings = load_model_config(config, labels=0 if causal else labels)
    if causal:
        base_model.require_causal(config.model, settings)
    extra = quantisation_options(config, causal=causal, device=device)
    _check_shape(config, kind, settings, device)
    try:
        with _quiet(), seeded(torch_seed(config.seed, "head")), _loading(f"model {config.model}"):
            loaded: Any = kind.from_pretrained(
                config.model,
                config=settings,
                dtype=DTYPES[config.dtype],
                local_files_only=local(config),
                output_loading_info=True,
                **extra,
            )
    except RuntimeError as error:
        raise ValueError(
            f"model {config.model} cannot be loaded: its weights have other shapes than its config.json"
            + ("" if causal else f" and a head of {labels} classes")
            + " ask for"
        ) from error
    model, found = loaded
    base_model.require_complete(config.model, model, found["missing_keys"])
    return model if extra else model.to(device)


def quantisation_options(config: Config, *, causal: bool, device: torch.device) -> dict[str, Any]:
    """What transformers is told in order to load the base quantised; nothing if it is not to be."""
    if config.quantisation == "none":
        return {}
    if find_spec("bitsandbytes") is None:
        raise ValueError("quantisation = 4bit needs bitsandbytes: pip install bitsandbytes")
    if device.type != "cuda":
        # On a CPU, bitsandbytes packs the weights for inference when the model is first evaluated, and
        # what it multiplies with from then on passes no gradient.
        raise ValueError(f"quantisation = 4bit needs a CUDA device, the run is on {device.type}")
    import transformers

    settings = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        # A fresh head has no weights to quantise, and trains in float32.
        llm_int8_skip_modules=None if causal else list(base_model.HEADS),
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def _check_shape(config: Config, kind: Any, settings: Any, device: torch.device) -> None:
    """Hold the run against the model's layers while they still weigh nothing."""
    with _quiet(), torch.device("meta"):
        skeleton = kind.from_config(settings)
    require_base_fits(config, device, sum(p.numel() for p in skeleton.parameters()))
    target_modules(config, skeleton)


def load_model_config(config: Config, *, labels: int) -> Any:
    """The model's configuration, with the base's dropout switched off where the run says so."""
    import transformers

    extra = {"num_labels": labels} if labels else {}
    with _loading(f"model {config.model}"):
        settings = transformers.AutoConfig.from_pretrained(
            config.model, local_files_only=local(config), **extra
        )
    if config.base_dropout == "off":
        for name, value in settings.to_dict().items():
            if "drop" in name and isinstance(value, float):
                setattr(settings, name, 0.0)
    return settings


def load_tokenizer(config: Config) -> Any:
    """The model's tokenizer."""
    import transformers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with _loading(f"tokenizer of {config.model}"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            config.model, local_files_only=local(config)
        )
    base_model.require_vocabulary(config.model, tokenizer)
    return tokenizer


def local(config: Config) -> bool:
    """Whether nothing may be fetched: a local folder was given, or the user forbade the network."""
    return Path(config.model).is_dir() or offline()


def attach(
    config: Config, base: Any, tokenizer: Any, *, causal: bool, device: torch.device
) -> Workspace:
    """Put a LoRA adapter on a loaded base and freeze everything."""
    import peft

    # Not cuDNN's attention: its kernels are built anew for every length.
    torch.backends.cuda.enable_cudnn_sdp(False)
    targets = target_modules(config, base)
    options: dict[str, Any] = dict(
        r=config.rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        use_rslora=config.rslora,
        target_modules=list(targets),
        init_lora_weights=_INITS.get(config.init, config.init),
        task_type="CAUSAL_LM" if causal else "SEQ_CLS",
    )
    settings = peft.LoraConfig(**options)
    if config.quantisation == "4bit":
        base = peft.prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    with _quiet(), seeded(torch_seed(config.seed, "adapter")):
        model = peft.get_peft_model(base, settings, adapter_name=ADAPTER)
    if config.quantisation == "none":
        model.to(device)
    model.requires_grad_(False)
    inner: Any = model.get_base_model()
    holder = PassHolder()
    layers = {
        name: module
        for name, module in inner.named_modules()
        if ADAPTER in getattr(module, "lora_A", {})
    }
    if config.lora_dropout:
        for module in layers.values():
            drop = ClientDropout(config.lora_dropout, module.in_features, holder)
            module.lora_dropout[ADAPTER] = drop
    if config.products == "base":
        for module in layers.values():
            for bank in (module.lora_A, module.lora_B):
                bank[ADAPTER] = InBasePrecision(bank[ADAPTER].weight, DTYPES[config.dtype])
    head = {} if causal else _head(inner)
    if config.gradient_checkpointing:
        # Newer transformers renamed it.
        enable = getattr(inner, "activation_checkpointing_enable", None)
        (enable or inner.gradient_checkpointing_enable)()
        inner.enable_input_require_grads()
    return Workspace(model, tokenizer, layers, head, causal, device, holder)


def target_modules(config: Config, base: Any) -> tuple[str, ...]:
    """The adapted layers' name endings, checked against the model."""
    widths = {n: w for n, module in base.named_modules() if (w := _width(module)) is not None}
    heads = base_model.head_parts(widths)
    widths = {name: width for name, width in widths.items() if name not in heads}
    endings = sorted({name.rsplit(".", 1)[-1] for name in widths})
    targets = config.target_modules or default_targets(endings)
    for target in targets:
        matched = [w for name, w in widths.items() if f".{name}".endswith(f".{target}") and w]
        if not matched:
            near = get_close_matches(target, endings, n=1, cutoff=0.0)
            raise ValueError(
                f"target module {target!r} is no linear layer of {config.model}; did you mean"
                f" {near[0]!r}? There are {', '.join(endings)}"
            )
        if config.rank > min(matched):
            raise ValueError(
                f"rank must not exceed the width of {target!r} ({min(matched)}), got {config.rank}"
            )
    return tuple(targets)


def default_targets(endings: list[str]) -> tuple[str, ...]:
    """Query and value projections under the names models give them."""
    for names in _TARGETS:
        if set(names) <= set(endings):
            return names
    raise ValueError(f"target_modules must be given for this model, it has {', '.join(endings)}")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global CPU generator seeded inside, restored after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _width(module: nn.Module) -> int | None:
    """Smaller side of a linear layer, None for another module."""
    if isinstance(module, nn.Linear):
        return min(module.in_features, module.out_features)
    weight = getattr(module, "weight", None)
    if type(module).__name__ == "Conv1D" and weight is not None:
        return int(min(weight.shape))
    return None


def _head(inner: Any) -> dict[str, nn.Parameter]:
    """The head's parameters in float32 or float64, its linear layers taking input of any precision."""
    found: dict[str, nn.Parameter] = {}
    for name, module in inner.named_modules():
        if not name.endswith(f"modules_to_save.{ADAPTER}"):
            continue
        module.to(torch.promote_types(next(module.parameters()).dtype, torch.float32))
        for part in module.modules():
            if isinstance(part, nn.Linear):
                part.register_forward_pre_hook(_cast_input)
        for own, parameter in module.named_parameters():
            found[f"{name}.{own}"] = parameter
    if not found:
        raise ValueError(
            f"no classification head found in {type(inner).__name__}: PEFT knows heads named"
            " `classifier` and `score`"
        )
    return found


def _cast_input(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (args[0].to(module.weight.dtype), *args[1:])


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers' loading chatter (a fresh head is expected here) kept off the terminal."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _loading(what: str) -> Iterator[None]:
    """The first line of what transformers has to say, where something cannot be loaded."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        said = str(error).strip().split("\n", 1)[0]
        raise ValueError(f"{what} cannot be loaded: {said}") from error
