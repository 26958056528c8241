"""Exactly what depends on a change runs again: the table of docs/reruns.md."""

import re
import shutil

import pytest
from rerun_cases import CASES, PAGE, table

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

NOTHING = "Nothing to be done"


@pytest.fixture(scope="module")
def draft(finished, tmp_path_factory):
    """A copy for dry runs. Each test leaves every file with the bytes that it found."""
    return finished.copy(tmp_path_factory.mktemp("draft") / "project")


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_what_depends_on_a_change_runs_and_nothing_else(draft, case):
    path = draft.folder / case.file
    before = path.read_text()
    path.write_text(case.edit(before))
    try:
        said = draft.snakemake("-n")
    finally:
        path.write_text(before)
    assert set(re.findall(r"^(?:local)?rule (\w+):", said, flags=re.M)) - {"all"} == case.rules
    jobs = re.findall(r"^rule train_arm:\n(?:    .*\n)*?    wildcards: (.*)\n", said, flags=re.M)
    assert {re.search(r"arm=(\S+?),", job)[1] for job in jobs} == set(case.trained)


def test_the_page_has_this_table():
    assert table() in PAGE.read_text(), "python tests/rerun_cases.py writes it"


def test_a_second_run_and_touched_files_rerun_nothing(draft):
    assert NOTHING in draft.snakemake("-n")
    for path in draft.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert NOTHING in draft.snakemake("-n")


@pytest.mark.parametrize("keep_times", [True, False])
def test_results_copied_into_a_fresh_clone_rerun_nothing(finished, root, tmp_path, keep_times):
    clone = finished.clone(root, tmp_path / "clone")
    shutil.rmtree(clone.folder / "results")
    shutil.copytree(
        finished.folder / "results",
        clone.folder / "results",
        copy_function=shutil.copy2 if keep_times else shutil.copyfile,
    )
    assert NOTHING in clone.snakemake("-n")
