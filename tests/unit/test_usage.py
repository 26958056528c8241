"""Memory that is a job's own: not what it maps, and not what it has given back."""

import subprocess
import sys

import numpy as np
import pytest

from ptrag.base.usage import MB, usage_of

BODY = """
import sys, time
import numpy as np
from ptrag.base.logs import rule_log
with rule_log(sys.argv[1]):
    {work}
"""


def used(tmp_path, work):
    log = tmp_path / "rule.log"
    script = BODY.format(work=work)
    subprocess.run([sys.executable, "-c", script, str(log), str(tmp_path / "x")], check=True)
    return usage_of(log)


def test_own_memory_is_what_is_allocated_and_not_what_is_mapped(tmp_path):
    np.ones(100_000_000, np.uint8).tofile(tmp_path / "x")
    idle = used(tmp_path, "pass")
    mapped = used(tmp_path, "x = np.memmap(sys.argv[2]); x.sum(); time.sleep(.5)")
    held = used(tmp_path, "x = np.ones(100_000_000, np.uint8); time.sleep(.5); del x")
    assert mapped.own_mb == pytest.approx(idle.own_mb, abs=20)
    assert held.own_mb == pytest.approx(idle.own_mb + 1e8 / MB, abs=20)


def test_cpu_seconds_and_memory_of_children_count(tmp_path):
    child = "import time; x = bytearray(b'1' * 60_000_000); time.sleep(1)"
    idle = used(tmp_path, "pass")
    parent = used(tmp_path, f"import subprocess; subprocess.run([sys.executable, '-c', {child!r}])")
    assert parent.own_mb > idle.own_mb + 50
    busy = "t = time.process_time()\n    while time.process_time() - t < 1: pass"
    assert used(tmp_path, busy).cpu_seconds > idle.cpu_seconds + 0.7


def test_a_log_that_does_not_say(tmp_path):
    assert usage_of(tmp_path / "none.log") is None
    (tmp_path / "rule.log").write_text("ERROR x\n")
    assert usage_of(tmp_path / "rule.log") is None
