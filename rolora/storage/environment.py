"""What produced a result: versions, platform, commit. No paths and no names of the machine."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "rolora-verify", "numpy", "scipy", "sympy", "python-flint", "matplotlib", "scikit-learn", "joblib",
    "torch", "transformers", "peft",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Python, platform, package versions and the commit of the source, as JSON data."""
    commit, modified = commit_of(Path(__file__).resolve().parent)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "byte_order": sys.byteorder,
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
        "commit": commit,
        "modified": modified,
    }


def commit_of(folder: Path) -> tuple[str | None, bool | None]:
    """Commit of the repository a folder is in, and whether its tracked files were changed; None without."""
    hash_ = _git(folder, "rev-parse", "HEAD")
    # A repository that merely happens to enclose an installed copy says nothing about the source.
    if hash_ is None or _git(folder, "ls-files", "--error-unmatch", "environment.py") is None:
        return None, None
    return hash_, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
