"""``python -m ptrag`` is the command."""

import subprocess
import sys


def test_python_m_ptrag_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "ptrag", "arms"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert "response_expert" in done.stdout
