"""Makes the fake claims and helpers beside the tests importable, in worker processes too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
