"""The result as a standard PEFT adapter: `PeftModel.from_pretrained(base, folder)` predicts the same."""

import json
from pathlib import Path

from safetensors.torch import save_file

from llm_validation.base.models import Workspace
from llm_validation.training.server import Server, write_server
from verification.files import staged

README = """\
A LoRA adapter trained federatedly, in PEFT's own format.

    from peft import PeftModel
    model = PeftModel.from_pretrained(base, "{folder}")

`adapter_model.safetensors` holds `lora_A`, `lora_B` and, for a classifier, the head. The base must be
loaded with the head's number of classes ({labels}).
"""
BASE = "base_weights.safetensors"
MERGED = f"""
The method changed frozen weights of the base. Put them there first:

    base.load_state_dict(safetensors.torch.load_file("{BASE}"), strict=False)
"""


def export(space: Workspace, server: Server, folder: Path) -> list[Path]:
    """Write the server's state as a PEFT adapter, with its tokenizer.

    Where something stays with the clients (a local head, personal factors) there is no one model: the
    adapter is written once per client, in `folder/client-0000` and so on, each with the client's own.
    Frozen weights that a method changed are written beside the adapter, as `base_weights.safetensors`.
    An older export is replaced; the model is left holding the server's state.
    """
    places: dict[Path, int | None] = {folder: None}
    if server.own:
        places = {folder / f"client-{k:04d}": k for k in sorted(server.own)}

    with staged(folder) as temporary:
        for place, client in places.items():
            own = temporary / place.relative_to(folder)
            own.mkdir(parents=True, exist_ok=True)
            _one(space, server, client, own, place.name)
    return list(places)


def _one(space: Workspace, server: Server, client: int | None, place: Path, name: str) -> None:
    write_server(space, server, client)
    space.model.save_pretrained(place)
    space.tokenizer.save_pretrained(place)
    labels = 0 if space.causal else int(space.base.config.num_labels)
    text = README.format(folder=name, labels=labels)
    if server.merged:
        changed = {f"{n}.weight": space.layers[n].base_layer.weight for n in server.merged}
        save_file({n: w.detach().cpu().contiguous() for n, w in changed.items()}, place / BASE)
        text += MERGED
    (place / "README.md").write_text(text)
    settings = json.loads((place / "adapter_config.json").read_text(encoding="utf-8"))
    base = settings.get("base_model_name_or_path")
    if base and Path(base).is_dir():
        # A local folder means nothing on another machine.
        settings["base_model_name_or_path"] = Path(base).name
    text = json.dumps(settings, indent=2, sort_keys=True)
    (place / "adapter_config.json").write_text(text, encoding="utf-8")
