"""Exactly what depends on a change runs again: the table of docs/reruns.md."""

import re
import shutil

import pytest
from rerun_cases import CASES, PAGE, PIPELINE, REPORT, SCORE, table

from ptrag.base.files import read_json, sha256

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

EVERY_SIZE = [(), ("--max-checksum-file-size", "72000")]
"""Arguments: as shipped, and with files of the tiny project that are too large to be compared."""


def at_most(limit):
    """Rules that may run: the report is larger than the low limit, and compared directly."""
    return REPORT if limit else set()


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
        said = draft.snakemake("-n", "--verbose")  # every job, as Snakemake itself shows it
    finally:
        path.write_text(before)
    assert set(re.findall(r"^(?:local)?rule (\w+):", said, flags=re.M)) - {"all"} == case.rules
    jobs = re.findall(r"^rule train_arm:\n(?:    .*\n)*?    wildcards: (.*)\n", said, flags=re.M)
    assert {re.search(r"arm=(\S+?),", job)[1] for job in jobs} == set(case.trained)


def test_the_page_has_this_table():
    assert table() in PAGE.read_text(), "python tests/rerun_cases.py writes it"


def test_the_limit_that_is_set_low_leaves_out_what_grows_with_cells(draft):
    sizes = {p.name: p.stat().st_size for p in (draft.folder / "results").rglob("*.h5ad")}
    assert min(sizes["source.h5ad"], sizes["cells.h5ad"], sizes["predictions.h5ad"]) > 72_000


@pytest.mark.parametrize("limit", EVERY_SIZE)
def test_a_second_run_and_touched_files_rerun_nothing(draft, limit):
    assert draft.planned(*limit) == set()
    for path in draft.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert draft.planned(*limit) <= at_most(limit)


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("source", set(PIPELINE) - {"simulate_screen"}),
        ("cells", set(PIPELINE) - {"simulate_screen", "build_cells"}),
        ("hepg2/reference", SCORE),
        ("hepg2/ptrag/seed1/predictions", SCORE),
    ],
)
def test_of_a_large_file_the_digest_decides(draft, name, rules):
    """As if a file had been made anew with other content: its digest is then another, too."""
    digest = draft.folder / f"results/tiny/{name}.digest.json"
    before = digest.read_text()
    digest.write_text(before.replace('"sha256": "', '"sha256": "0'))
    try:
        assert draft.planned("--max-checksum-file-size", "72000") == rules | REPORT
    finally:
        digest.write_text(before)


def test_digests_are_those_of_the_files(draft):
    digests = [*(draft.folder / "results").rglob("*.digest.json")]
    assert len(digests) > 10
    for digest in digests:
        stem = digest.name.removesuffix(".digest.json")
        (path,) = (digest.parent / f"{stem}{end}" for end in (".h5ad", ".h5", ".npz")
                   if (digest.parent / f"{stem}{end}").is_file())  # fmt: skip
        recorded = read_json(digest)
        assert recorded == {"sha256": sha256(path), "size": path.stat().st_size}


@pytest.mark.parametrize("limit", EVERY_SIZE)
@pytest.mark.parametrize("keep_times", [True, False])
def test_results_copied_into_a_fresh_clone_rerun_nothing(
    finished, root, tmp_path, keep_times, limit
):
    clone = finished.clone(root, tmp_path / "clone")
    shutil.rmtree(clone.folder / "results")
    shutil.copytree(
        finished.folder / "results",
        clone.folder / "results",
        copy_function=shutil.copy2 if keep_times else shutil.copyfile,
    )
    assert clone.planned(*limit) <= at_most(limit)
