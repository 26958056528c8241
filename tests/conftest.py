"""What all tests share: where the repository and the real cells are."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests")]
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def same_draws_each_time() -> None:
    """Seed the global generators: no test may be green on one run and red on the next."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the very generator that libraries draw from


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the small real screens; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data: the small real screens are not here")
    return folder
