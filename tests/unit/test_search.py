"""The search for hyper-parameters: what it tries, that it goes on, and that it judges fairly."""

import pytest
import yaml
from training_cases import make_home, make_job

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.training import search as module
from ptrag.training.milestones import DivergedError
from ptrag.training.search import search

SPEC = {
    "trials": 4,
    "seed": 1,
    "space": {
        "training.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
        "training.sets": {"low": 2, "high": 6},
        "model.hidden": {"choices": [8, 12]},
    },
}
OPTIONS = {"rag": False, "use_genept": False}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return make_job(make_home(folder), folder, "state", OPTIONS)


def run(job, folder):
    search(job, SPEC, folder / "state.tsv", folder / "best.yaml")
    return (folder / "state.tsv").read_bytes(), (folder / "best.yaml").read_bytes()


def test_a_killed_search_ends_with_the_table_of_an_unbroken_one(job, tmp_path, monkeypatch):
    whole = run(job, tmp_path / "whole")
    original, done = module._train, []

    def killed(*arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_train", killed)
        with pytest.raises(KeyboardInterrupt):
            run(job, tmp_path / "killed")
    assert not (tmp_path / "killed/state.tsv").exists()
    assert run(job, tmp_path / "killed") == whole

    table = read_table(tmp_path / "whole/state.tsv")
    assert list(table["trial"]) == [1, 2, 3, 4]
    assert table["training.learning_rate"].between(1e-5, 1e-1).all()
    assert set(table["training.sets"]) <= {2, 3, 4, 5, 6}
    best = table.loc[table["value"].idxmin()]  # the monitored energy
    override = yaml.safe_load((tmp_path / "whole/best.yaml").read_text())["override"]
    own = override["arm_options"]["state"]
    assert own["training"]["learning_rate"] == pytest.approx(best["training.learning_rate"])
    assert own["model"]["hidden"] == best["model.hidden"]


def test_a_trial_that_diverges_counts_and_the_search_goes_on(job, tmp_path, monkeypatch):
    original, rates = module._train, []

    def some(tried, folder):
        rates.append(tried.training["learning_rate"])
        if len(rates) % 2:
            raise DivergedError("the loss is nan")
        return original(tried, folder)

    monkeypatch.setattr(module, "_train", some)
    run(job, tmp_path)
    table = read_table(tmp_path / "state.tsv")
    assert len(set(rates)) == SPEC["trials"]  # the same setting is not tried again and again
    assert list(table["training.learning_rate"]) == pytest.approx(rates[1::2])

    def never(tried, folder):
        raise DivergedError("the loss is nan")

    monkeypatch.setattr(module, "_train", never)
    with pytest.raises(PtragError, match="all 4 trials diverged"):
        run(job, tmp_path / "never")


def test_a_killed_search_begins_anew_on_other_data(job, tmp_path, monkeypatch):
    original, done = module._train, []

    def killed(tried, folder):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(tried.training["learning_rate"])
        return original(tried, folder)

    def counted(tried, folder):
        done.append(tried.training["learning_rate"])
        return original(tried, folder)

    monkeypatch.setattr(module, "_train", killed)
    with pytest.raises(KeyboardInterrupt):
        run(job, tmp_path)
    monkeypatch.setattr(module, "_train", counted)
    monkeypatch.setattr(module, "input_hashes", lambda job, store: {"cells": "others"})
    run(job, tmp_path)
    assert len(done) == 2 + SPEC["trials"] and done[2:4] == done[:2]
