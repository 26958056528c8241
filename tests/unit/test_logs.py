"""How a rule fails: one line for what a user can mend, a traceback in the log for the rest."""

import subprocess
import sys

import pytest


def rule(tmp_path, *lines):
    """Run lines of code as a rule script does; return exit status, stderr and log."""
    log = tmp_path / "logs/rule.log"
    body = "\n".join(f"    {line}" for line in lines)
    script = (
        f"from ptrag.base.logs import rule_log\nwith rule_log({str(log)!r}) as logger:\n{body}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return done.returncode, done.stderr, log.read_text()


def test_a_mistake_is_one_line_on_both(tmp_path):
    code, said, log = rule(
        tmp_path,
        "from ptrag.base.errors import PtragError",
        "raise PtragError('x.h5ad: is wrong; mend it')",
    )
    assert code == 1
    assert said == "ERROR: x.h5ad: is wrong; mend it\n"
    assert log.endswith("ERROR x.h5ad: is wrong; mend it\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("PermissionError(13, 'Permission denied', 'data/x.h5ad')", "data/x.h5ad: permission"),
        ("OSError(28, 'No space left on device', 'r/.x.tsv.part')", "r/x.tsv: the disk is full"),
        ("OSError(30, 'Read-only file system', 'r/x')", "r/x: the file system is read-only"),
        (
            "OSError(\"Can't write (filename = 'r/.x.h5ad.part', errno = 28, error message\")",
            "r/x.h5ad: the disk is full; free some space and run again",
        ),
    ],
)
def test_what_a_file_system_refuses_is_one_line(tmp_path, error, said):
    code, stderr, log = rule(tmp_path, f"raise {error}")
    assert code == 1
    assert stderr.startswith(f"ERROR: {said}")
    assert stderr.count("\n") == 1
    assert said in log
    assert "Traceback" not in log


def test_anything_else_leaves_its_traceback_in_the_log(tmp_path):
    code, said, log = rule(tmp_path, "logger.info('here')", "[][0]")
    assert code == 1
    assert "IndexError" in said
    assert "INFO here" in log
    assert log.rstrip().endswith("IndexError: list index out of range")
