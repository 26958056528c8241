"""The expert is fitted once: what reads no texts is shared, and a file stands for the fit."""

import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from response_cases import draw_embedding, draw_responses, nearest
from training_cases import make_home, make_job

from ptrag.arms.expert import files, fitting
from ptrag.arms.expert.files import write_expert
from ptrag.arms.expert.fitting import fit_expert
from ptrag.cells.store import CellStore
from ptrag.genes.providers import derive_control
from ptrag.prediction import prediction
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.fit_split import ClosedFormJob, predict_closed_forms
from ptrag.prediction.fitted import fit_once
from ptrag.splits.protocols import read_split
from ptrag.training.expected import expect, read_expected, write_expected
from ptrag.training.run import train

OPTIONS = {"rag": True, "use_genept": True, "topk_rag": 4}


def content(expert, path):
    write_expert(expert, path)
    return path.read_bytes()


@pytest.mark.parametrize("protocol", ["unseen_combination", "unseen_perturbation"])
def test_the_expert_of_shuffled_texts_takes_over_what_reads_none(tmp_path, monkeypatch, protocol):
    responses = draw_responses(protocol=protocol, target="a")
    true = draw_embedding()
    shuffled = derive_control(true, "shuffled")
    neighbours = [nearest(e, responses.perturbations) for e in (true, shuffled)]
    first = fit_expert(responses, true, neighbours[0], OPTIONS)
    alone = fit_expert(responses, shuffled, neighbours[1], OPTIONS)
    fitted = []
    original = fitting.fit_variances

    def counted(entries, text, read):
        fitted.append(read)
        return original(entries, text, read)

    monkeypatch.setattr(fitting, "fit_variances", counted)
    shared = fit_expert(responses, shuffled, neighbours[1], OPTIONS | {"like": first})
    assert fitted == [True], "the process that reads texts alone"
    assert content(shared, tmp_path / "shared.npz") == content(alone, tmp_path / "alone.npz")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with cells, split, vectors, index, and what an expert was fitted to."""
    home = make_home(tmp_path_factory.mktemp("home"), n_cells=12, n_controls=40)
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    files = home / "text.h5ad", home / "index"
    fit_once(store, split, "response_expert", OPTIONS, *files, home / "x.fitted.npz")
    return home


def never(*arguments, **named):
    raise AssertionError("fitted again")


def run_closed_form(home, out, fitted):
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    files = PredictionFiles.beside(out / "predictions.h5ad")
    job = ClosedFormJob(
        "response_expert", OPTIONS, home / "text.h5ad", home / "index", files, fitted=fitted
    )
    predict_closed_forms(store, split, [job], 8)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_the_closed_form_predicts_from_the_file_what_it_predicts_when_fitted(
    home, tmp_path, monkeypatch
):
    here = run_closed_form(home, tmp_path / "here", None)
    monkeypatch.setattr(fitting, "fit_expert", never)
    assert run_closed_form(home, tmp_path / "read", home / "x.fitted.npz") == here


def test_arms_of_a_job_share_what_makes_cells_of_controls(home, tmp_path, monkeypatch):
    """At the paper's size it takes 13 CPU seconds a line."""
    asked = []
    original = prediction.Emitter

    def counted(cells, *more):
        asked.append(cells.shape)
        return original(cells, *more)

    monkeypatch.setattr(prediction, "Emitter", counted)
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    arms = ["control", "perturbation_mean", "line_mean"]
    jobs = [
        ClosedFormJob(arm, {}, None, None, PredictionFiles.beside(tmp_path / arm / "x.h5ad"))
        for arm in arms
    ]
    predict_closed_forms(store, split, jobs, 8)
    assert len(asked) == len({line for line, _ in split.pairs("val") + split.pairs("test")})


def test_a_training_reads_what_the_expert_expects_and_fits_nothing(home, tmp_path, monkeypatch):
    from ptrag.arms.expert.files import read_expert

    train(make_job(home, tmp_path / "here", "response_rag", OPTIONS, max_steps=4))
    val = read_split(home / "split.tsv").pairs("val")
    expected = expect(read_expert(home / "x.fitted.npz"), val)
    write_expected(expected, tmp_path / "x.expected.npz")
    for before, after in zip(expected, read_expected(tmp_path / "x.expected.npz"), strict=True):
        np.testing.assert_array_equal(before, after)
    monkeypatch.setattr(fitting, "fit_expert", never)
    job = make_job(home, tmp_path / "read", "response_rag", OPTIONS, max_steps=4)
    files = {"fitted": home / "x.fitted.npz", "expected": tmp_path / "x.expected.npz"}
    train(replace(job, **files))
    for name in ("history.tsv", "bundle/weights.safetensors", "bundle/bundle.json"):
        here, read = (tmp_path / way / name for way in ("here", "read"))
        assert here.read_bytes() == read.read_bytes(), name


def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)


def die_half_written(file, **arrays):
    file.write(b"PK half of it")
    file.flush()
    die()


@pytest.mark.parametrize(
    ("module", "name", "death"),
    [
        (fitting, "fit_variances", die),
        (fitting, "fit_stack", die),  # all entries were left out
        (files.np, "savez", die_half_written),
    ],
    ids=["at the variances", "at the weights", "while it writes"],
)
def test_a_fit_that_is_killed_leaves_no_file_and_starts_over_to_the_same_bytes(
    home, tmp_path, monkeypatch, module, name, death
):
    """What was solved is not kept: the fit of the paper's 7,400 entries takes two minutes."""
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    out = tmp_path / "x.fitted.npz"

    def fit():
        inputs = home / "text.h5ad", home / "index"
        fit_once(store, split, "response_expert", OPTIONS, *inputs, out)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, death)
        process = multiprocessing.get_context("fork").Process(target=fit)
        process.start()
        process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()
    fit()
    assert out.read_bytes() == (home / "x.fitted.npz").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [out.name], "nothing half-made is left"
