"""Training on a tiny store: what it learns, that it goes on exactly, and whom it trusts."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_cases import MODEL, make_home, make_job

from ptrag.arms.neural.networks import Batch, Network, Shapes
from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cells.store import CellStore
from ptrag.prediction.loading import load_bundle
from ptrag.splits.protocols import draw_split, write_split
from ptrag.training import averaging, milestones
from ptrag.training.run import train

OPTIONS = {
    "state": {"rag": False, "use_genept": False},
    "state_genept": {"rag": False, "use_genept": True},
    "ptrag": {
        "rag": True, "retrieve_than_predict": True, "differentiable_rag": True,
        "use_genept": True, "topk_rag": 4, "gumbel_sparsity_loss": True,
        "gumbel_sparsity_weight": 0.1, "published": True,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("training"))


def run(home, folder, arm="ptrag", seed=1, **training):
    """Train an arm; return the folder of its run."""
    train(make_job(home, folder, arm, OPTIONS[arm], seed, **training))
    return folder


def outcome(folder):
    """Bytes of everything a run wrote, but for the time that it took."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "seconds.tsv"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.mark.parametrize("arm", ["state", "ptrag"])
def test_a_training_killed_at_any_step_ends_with_the_same_bytes(home, tmp_path, monkeypatch, arm):
    whole = outcome(run(home, tmp_path / "whole", arm))
    for stop in (1, 5, 8, 11):
        folder = tmp_path / f"stopped{stop}"
        with monkeypatch.context() as patch:
            patch.setattr(milestones, "SAVE_SECONDS", -1)  # a checkpoint after every step
            original = milestones.Milestones.on_train_batch_end

            def end(self, *arguments, stop=stop, original=original):
                original(self, *arguments)
                if self.done == stop:
                    raise KeyboardInterrupt

            patch.setattr(milestones.Milestones, "on_train_batch_end", end)
            with pytest.raises((KeyboardInterrupt, SystemExit)):
                run(home, folder, arm)
        assert (folder / "checkpoints/last.ckpt").exists()
        assert not (folder / "bundle").exists()
        run(home, folder, arm)
        assert outcome(folder) == whole


def test_a_checkpoint_of_other_settings_is_left_aside(home, tmp_path, monkeypatch):
    whole = outcome(run(home, tmp_path / "whole", learning_rate=0.02))
    with monkeypatch.context() as patch:
        patch.setattr(milestones.Milestones, "save", stop_after(milestones.Milestones.save))
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(home, tmp_path / "run")
    run(home, tmp_path / "run", learning_rate=0.02)
    assert outcome(tmp_path / "run") == whole


def stop_after(function):
    def stopped(*arguments):
        function(*arguments)
        raise KeyboardInterrupt

    return stopped


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(home, tmp_path):
    one, same, other = (
        outcome(run(home, tmp_path / name, "state", seed))["bundle/weights.safetensors"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same != other


def test_it_learns(home, tmp_path):
    history = read_table(run(home, tmp_path, "state_genept", max_steps=60) / "history.tsv")
    loss = history[(history["split"] == "train") & (history["metric"] == "loss")]["value"]
    assert loss.iloc[-1] < 0.7 * loss.iloc[0]


@pytest.mark.parametrize("monitor", ["energy", "mse", "pearson_delta"])
def test_the_weights_are_those_of_the_best_validation(home, tmp_path, monitor):
    folder = run(home, tmp_path, "state", monitor=monitor, max_steps=40)
    history = read_table(folder / "history.tsv")
    values = history[(history["split"] == "val") & (history["metric"] == monitor)]
    at = values["value"].idxmax() if monitor == "pearson_delta" else values["value"].idxmin()
    about = load_bundle(folder / "bundle").about
    assert about["step"] == values["step"][at]
    assert about["validation"][monitor] == pytest.approx(values["value"][at])


def test_the_published_schedule_takes_the_last_weights_whatever_validation_says(home, tmp_path):
    folder = run(
        home, tmp_path, "state", published=True, patience=1, learning_rate=1e-9, max_steps=48,
    )  # fmt: skip
    assert load_bundle(folder / "bundle").about["step"] == 48
    history = read_table(folder / "history.tsv")
    assert set(history["step"]) == set(range(0, 49, 4))


def test_patience_stops_a_training_that_gets_no_better(home, tmp_path):
    """At the first validation at which the rule can judge: three to smooth, two of patience."""
    folder = run(home, tmp_path, "state", patience=2, learning_rate=1e-12, max_steps=400)
    assert read_table(folder / "history.tsv")["step"].max() == 4 * (3 + 2)


@pytest.mark.parametrize(("max_steps", "rate", "plateau"), [(12, 0.01, False), (40, 1e-12, True)])
def test_the_bundle_says_whether_the_plateau_was_reached(home, tmp_path, max_steps, rate, plateau):
    folder = run(home, tmp_path, "state", learning_rate=rate, max_steps=max_steps)
    assert load_bundle(folder / "bundle").about["plateau"] is plateau


def test_seconds_are_those_of_all_starts_of_an_interrupted_training(home, tmp_path, monkeypatch):
    """With a clock that shows one second more at every look, and a day between the two starts."""
    now = iter(itertools.count())
    monkeypatch.setattr(milestones.time, "monotonic", lambda: float(next(now)))
    with monkeypatch.context() as patch:
        patch.setattr(milestones.Milestones, "save", stop_after(milestones.Milestones.save))
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(home, tmp_path, "state")
    now = iter(itertools.count(86_400))
    run(home, tmp_path, "state")
    seconds = read_table(tmp_path / "seconds.tsv")
    assert seconds["step"].tolist() == [0, 4, 8, 12]
    assert seconds["seconds"].is_monotonic_increasing
    assert 0 < seconds["seconds"].iloc[-1] < 100


def test_what_is_kept_is_the_average_of_the_weights(home, tmp_path, monkeypatch):
    """By the recursion, in float64, on the weights after every step."""
    trajectory = []
    update = averaging.WeightAverage.update

    def record(self, network, step):
        trajectory.append({k: p.detach().double().clone() for k, p in network.named_parameters()})
        update(self, network, step)

    monkeypatch.setattr(averaging.WeightAverage, "update", record)
    folder = run(home, tmp_path, "state", averaging=0.8, max_steps=12, validate_every=12)
    kept = load_file(folder / "bundle/weights.safetensors")
    assert load_bundle(folder / "bundle").about["step"] == 12
    for name in trajectory[0]:
        # d_1 = 1/10: the untrained weights keep a tenth, and less with every step
        average, untrained_share = torch.zeros_like(trajectory[0][name]), 1.0
        for step, weights in enumerate(trajectory, start=1):
            decay = min(0.8, step / (step + 9))
            average = decay * average + (1 - decay) * weights[name]
            untrained_share *= decay
        assert untrained_share < 1e-4
        np.testing.assert_allclose(kept[name], average, atol=1e-4)


def test_bf16_changes_little(home, tmp_path):
    losses = {}
    for precision in ("fp32", "bf16"):
        folder = run(home, tmp_path / precision, "state", precision=precision, max_steps=20)
        history = read_table(folder / "history.tsv")
        rows = history[(history["split"] == "val") & (history["metric"] == "energy")]
        losses[precision] = rows["value"].to_numpy()
    assert np.abs(losses["fp32"] - losses["bf16"]).max() < 0.1 * losses["fp32"].max()
    assert not np.array_equal(losses["fp32"], losses["bf16"])


@pytest.mark.parametrize("units", [True, False])
def test_bf16_without_units_is_warned_of(home, tmp_path, monkeypatch, caplog, units):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": units})
    run(home, tmp_path, "state", precision="bf16", max_steps=2)
    assert ("without bf16 units" in caplog.text) == (not units)


def test_held_out_cells_do_not_touch_the_weights(home, tmp_path):
    """The store with other cells in its test pairs trains to the same bits."""
    from stores import write_store

    from ptrag.splits.protocols import read_split

    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    X = np.array(store.X)
    for pair in split.pairs("test"):
        X[store.rows(*pair)] = 7.0
    other = tmp_path / "other"
    other.mkdir()
    write_store(other / "cells.h5ad", X, store.obs, store.genes)
    for name in ("split.tsv", "split.json", "text.h5ad"):
        (other / name).symlink_to(home / name)
    (other / "index").symlink_to(home / "index")
    weights = [
        outcome(run(place, tmp_path / name))["bundle/weights.safetensors"]
        for place, name in ((home, "a"), (other, "b"))
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"learning_rate": 1e30, "gradient_clip": 1e30}, "training.learning_rate"),
        ({"sets": 3, "devices": 2}, "training.sets: 3"),
        ({"num_nodes": 2}, "training.num_nodes: 2 nodes .* need 2 Slurm tasks and this job has 1"),
    ],
)
def test_what_cannot_train_is_one_line_with_the_key(home, tmp_path, monkeypatch, training, said):
    monkeypatch.setenv("SLURM_NTASKS", "1")
    with pytest.raises(PtragError, match=said) as caught:
        run(home, tmp_path, "state", **training)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("protocol", ["unseen_perturbation", "unseen_combination"])
def test_vectors_are_displaced_only_where_validation_asks_for_unseen_perturbations(
    home, tmp_path, protocol
):
    place = tmp_path / "home"
    shutil.copytree(home, place)
    if protocol == "unseen_combination":
        store = CellStore(home / "cells.h5ad")
        fractions = {"val": 0.2, "test": 0.4}
        spec = {"protocol": protocol, "target": "b", "fractions": fractions, "seed": 1}
        table = draw_split(store, spec, {"min_cells": 5, "min_controls": 2}, "t")
        write_split(table, spec, place / "split.tsv")
    weights = []
    for noise in (0.0, 0.5):
        job = make_job(place, tmp_path / str(noise), "state_genept", OPTIONS["state_genept"])
        train(replace(job, model=MODEL | {"vector_noise": noise}))
        about = load_bundle(job.bundle).about
        assert about["model"]["vector_noise"] == (protocol == "unseen_perturbation") * noise
        weights.append(outcome(job.bundle)["weights.safetensors"])
    assert (weights[0] == weights[1]) == (protocol == "unseen_combination")


@pytest.mark.parametrize("frozen", [False, True])
def test_a_trained_head_starts_at_the_mean_control_a_frozen_one_at_random(home, tmp_path, frozen):
    store = CellStore(home / "cells.h5ad")
    profile = torch.tensor(
        np.mean([store.control_mean(line, "given") for line in store.lines], axis=0)
    )
    network = Network(MODEL | {"frozen_backbone": frozen}, Shapes(len(profile), 3, 1))
    before = network.decode.bias.clone()
    network.start_at(profile)
    assert torch.equal(network.decode.bias, before if frozen else profile.float())


@pytest.mark.parametrize("frozen", [False, True])
def test_a_network_of_factors_starts_at_no_change_unless_its_head_is_frozen(frozen):
    network = Network(MODEL | {"frozen_backbone": frozen}, SHAPES, head="factors")
    network.start_at(torch.rand(6))
    inputs = random_batch()
    predicted = network(inputs).cells
    assert torch.allclose(predicted, inputs.control, rtol=1e-6) == (not frozen)
    if not frozen:
        predicted.sum().backward()
        assert network.decode.weight.grad.abs().max() > 0  # it can learn


def test_factors_leave_absent_genes_absent_and_move_the_others_either_way():
    network = Network(MODEL, SHAPES, head="factors")
    with torch.no_grad():
        network.decode.bias.copy_(torch.tensor([9.0, 9.0, 9.0, -9.0, -9.0, -9.0]))
    inputs = random_batch()
    inputs.control[..., 0] = 0  # a gene that no control cell shows
    cells = network(inputs).cells.detach()
    assert (cells[..., 0] == 0).all()
    assert (cells >= 0).all()
    assert (cells > inputs.control)[..., 1:3].all()
    assert (cells < inputs.control)[..., 3:].all()


SHAPES = Shapes(n_genes=6, n_features=6, n_batches=1)


def random_batch():
    return Batch(
        torch.rand(2, 3, 6), torch.zeros(2, 3, dtype=torch.long), torch.rand(2, 6),
        torch.arange(2), torch.empty(2, 0, dtype=torch.long),
    )  # fmt: skip


def test_a_gated_network_starts_at_its_base():
    torch.manual_seed(0)
    network = Network(MODEL, SHAPES, head="gated")
    base = torch.rand(2, 3, 6)
    predicted = network(random_batch()._replace(base=base)).cells
    assert torch.equal(predicted, base)
    predicted.sum().backward()
    assert network.gate.grad != 0  # it can open
