"""Makes the fake claims and helpers in tests/support importable, in worker processes too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
