"""The comparison itself is a script beside the tests, so that it can write its document."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
