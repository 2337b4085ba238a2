"""Data sets by name: those in this folder, other packages', and `module:name`."""

from pathlib import Path

from nonlinear_model.data.dataset import Dataset, Images
from verification.discovery import Catalogue

IMAGES: Catalogue[Images] = Catalogue(
    "dataset", ("nonlinear_model.data",), "rolora.datasets", lambda value: isinstance(value, Images)
)


def load(name: str, data_dir: Path | None = None, *, download: bool = False) -> Dataset:
    """The named data set; a folder of None is that of the environment variable ROLORA_DATA_DIR.

    Raises ValueError on an unknown name, or files that are missing, truncated or no such data set.
    """
    return IMAGES.named(name).value.read(data_dir, download)
