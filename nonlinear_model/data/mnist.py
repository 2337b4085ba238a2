"""MNIST from its original IDX files, gzipped or not. LeCun, Cortes, Burges, 1998."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from nonlinear_model.data.dataset import Dataset, Images

DATA_DIR_VARIABLE = "ROLORA_DATA_DIR"
IMAGES_MAGIC = 2051
LABELS_MAGIC = 2049
FILES = {
    "train_x": "train-images-idx3-ubyte",
    "train_y": "train-labels-idx1-ubyte",
    "test_x": "t10k-images-idx3-ubyte",
    "test_y": "t10k-labels-idx1-ubyte",
}


def load(data_dir: Path | None = None, *, download: bool = False) -> Dataset:
    """MNIST with pixels divided by 255.

    Args:
        data_dir: folder with the four IDX files (or with a folder `mnist` that has them); None for
            the environment variable ROLORA_DATA_DIR.
        download: fetch the images through the `datasets` library when files are missing.

    Raises:
        ValueError: if files are missing (the message says where to put them), truncated, or no IDX.
    """
    folder = find_folder(data_dir)
    if folder is None:
        if download:
            return _download()
        raise ValueError(missing_message(data_dir))
    arrays = {part: read_idx(_existing(folder, name)) for part, name in FILES.items()}
    for part in ("train", "test"):
        x, y = arrays[f"{part}_x"], arrays[f"{part}_y"]
        if x.ndim != 3 or y.ndim != 1 or x.shape[0] != y.shape[0]:
            raise ValueError(
                f"{FILES[part + '_x']} and {FILES[part + '_y']} must hold equally many images and"
                f" labels, got shapes {x.shape} and {y.shape}"
            )
        if y.max(initial=0) > 9:
            raise ValueError(
                f"{FILES[part + '_y']} must hold labels from 0 to 9, got {int(y.max())}"
            )
    return _dataset(**arrays)


def find_folder(data_dir: Path | None = None) -> Path | None:
    """The folder that holds all four files, or None.

    Looked at: `data_dir`, else ROLORA_DATA_DIR; each itself and its folder `mnist`.
    """
    given = _given(data_dir)
    if given is None:
        return None
    for folder in (given / "mnist", given):
        if all(_existing(folder, name).exists() for name in FILES.values()):
            return folder
    return None


def missing_message(data_dir: Path | None = None) -> str:
    """One sentence that says what is missing and where to put it."""
    given = _given(data_dir)
    where = given / "mnist" if given else f"a folder named by --data-dir or {DATA_DIR_VARIABLE}"
    names = ", ".join(f"{name}[.gz]" for name in FILES.values())
    return f"the MNIST files were not found: put {names} into {where}, or give --download"


def read_idx(path: Path) -> np.ndarray:
    """One IDX file of unsigned bytes as uint8: (n, rows, columns) for images, (n,) for labels.

    Raises ValueError on a wrong magic number, a truncated file, or bytes after the end.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path.name} is truncated or no gzip file: {error}") from error
    if len(raw) < 8:
        raise ValueError(f"{path.name} is truncated: {len(raw)} bytes hold no IDX header")
    magic = struct.unpack(">i", raw[:4])[0]
    if magic not in (IMAGES_MAGIC, LABELS_MAGIC):
        raise ValueError(
            f"{path.name} is no MNIST file: its magic number must be {IMAGES_MAGIC} (images) or"
            f" {LABELS_MAGIC} (labels), got {magic}"
        )
    axes = magic & 0xFF
    header = 4 * (axes + 1)
    if len(raw) < header:
        raise ValueError(f"{path.name} is truncated: {len(raw)} bytes hold no IDX header")
    shape = struct.unpack(f">{axes}i", raw[4:header])
    expected = header + int(np.prod(shape, dtype=np.int64))
    if len(raw) != expected:
        state = "truncated" if len(raw) < expected else "too long"
        raise ValueError(
            f"{path.name} is {state}: {len(raw)} bytes, its header {shape} announces {expected}"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def _given(data_dir: Path | None) -> Path | None:
    named = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    return Path(named) if named else None


def _existing(folder: Path, name: str) -> Path:
    gzipped = folder / f"{name}.gz"
    return gzipped if gzipped.exists() else folder / name


def _dataset(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray
) -> Dataset:
    def rows(images: np.ndarray) -> np.ndarray:
        return images.reshape(images.shape[0], -1).astype(np.float32) / np.float32(255.0)

    return Dataset(
        "mnist", rows(train_x), train_y.astype(np.int64), rows(test_x), test_y.astype(np.int64)
    )


def _download() -> Dataset:
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            "--download needs the datasets library: pip install 'rolora-verify[llm]'"
        ) from error
    try:
        splits = datasets.load_dataset("ylecun/mnist")
    except Exception as error:  # the hub's client raises many kinds, all meaning "no data"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"MNIST could not be downloaded: {reason}") from error
    arrays = {}
    for part in ("train", "test"):
        images = np.stack([np.asarray(image, dtype=np.uint8) for image in splits[part]["image"]])
        arrays[f"{part}_x"] = images
        arrays[f"{part}_y"] = np.asarray(splits[part]["label"], dtype=np.uint8)
    return _dataset(**arrays)


MNIST = Images("mnist", lambda data_dir, download: load(data_dir, download=download), order=10)
