"""What a training does in another way beside a GPU, as far as a CPU can show it."""

import json
import re

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, default_convert
from training_cases import make_home, make_job

from ptrag.cells.sets import SetSampler
from ptrag.cells.store import CellStore
from ptrag.splits.protocols import read_split
from ptrag.training.data import Steps
from ptrag.training.device import compile_for, loader
from ptrag.training.known import know
from ptrag.training.module import TrainingModule
from ptrag.training.run import _new_network

OPTIONS = {
    "rag": True, "retrieve_than_predict": True, "differentiable_rag": True, "use_genept": True,
    "topk_rag": 4, "gumbel_sparsity_loss": True, "gumbel_sparsity_weight": 0.1, "published": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A job, its store, what it knows, and its steps."""
    home = make_home(tmp_path_factory.mktemp("device"))
    job = make_job(home, home / "run", "ptrag", OPTIONS)
    store = CellStore(job.cells)
    known = know(job, store, read_split(job.split))
    sampler = SetSampler(store, known.pairs["train"], 4, 8, seed=1)
    return job, store, known, Steps(sampler, known.perturbations, known.numbers["train"], 0, 20)


def module(parts):
    job, store, known, _ = parts
    made = TrainingModule(job, _new_network(job, store, known), store, known.perturbations.features)
    made.on_fit_start()
    return made


def test_a_step_that_is_replayed_has_inputs_of_one_shape_and_the_same_loss(parts):
    """Every perturbation is encoded, not the distinct ones of the step: the same numbers."""
    plain, replayed = module(parts), module(parts)
    replayed.replays = True
    shapes = []

    def look(network, arguments):
        shapes.append([x.shape for x in arguments[0] if isinstance(x, torch.Tensor)])

    replayed.network.register_forward_pre_hook(look)
    for number in range(6):
        step = default_convert(parts[3][number])
        losses = [made.training_step(step, number) for made in (plain, replayed)]
        torch.testing.assert_close(*losses)
        gradients = []
        for made, loss in zip((plain, replayed), losses, strict=True):
            made.zero_grad()
            loss.backward()
            gradients.append(made.network.encode_perturbation.weight.grad)
        torch.testing.assert_close(*gradients)
    assert all(shape == shapes[0] for shape in shapes)
    assert len({len(parts[3][i].distinct) for i in range(6)}) > 1, "else the test shows nothing"


class Elsewhere:
    """The losses of a step on another device."""

    def to(self, device):
        return torch.zeros(3, device=device)


def test_losses_before_an_interruption_go_where_the_new_ones_are(parts):
    made = module(parts)
    made.losses = [Elsewhere()]  # read back from a checkpoint
    made.on_fit_start()
    made.training_step(default_convert(parts[3][0]), 0)
    assert torch.stack(made.losses).shape == (2, 3)


class Numbers(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        return np.full(3, index)


def test_a_process_that_draws_ahead_gives_the_same_steps_in_order(monkeypatch):
    monkeypatch.setattr(
        "ptrag.training.device.DataLoader",
        lambda *a, **k: DataLoader(*a, **k | {"pin_memory": False}),  # there is no GPU to pin for
    )
    ahead = [batch.tolist() for batch in loader(Numbers(), torch.device("cuda"))]
    here = [batch.tolist() for batch in loader(Numbers(), torch.device("cpu"))]
    assert ahead == here == [[i] * 3 for i in range(40)]


@pytest.mark.parametrize(("kind", "mode"), [("cuda", "reduce-overhead"), ("cpu", None)])
def test_beside_a_gpu_the_compiled_network_is_recorded(kind, mode):
    asked = {}

    class Network(torch.nn.Module):
        def compile(self, **options):
            asked.update(options)

    compile_for(Network(), torch.device(kind))
    assert asked == {"mode": mode}


def test_bench_gpu_runs_on_a_cpu_and_says_that_it_shows_nothing_else(root, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    import gpu

    monkeypatch.setattr(gpu, "device_here", lambda: torch.device("cpu"))
    text = gpu.main(gpu.arguments(["--out", str(tmp_path), "--steps", "2", "--curve", "3"]))
    (path,) = tmp_path.glob("gpu-*.json")
    results = json.loads(path.read_text())["results"]
    assert not [name for name, result in results.items() if "failed" in result], text
    assert {name.split()[0] for name in results} == {
        "step", "loading", "training", "prediction", "losses", "profile",
    }  # fmt: skip
    ms = {name: result["ms"] for name, result in results.items() if "ms" in result}
    assert all(value > 0 for value in ms.values())
    training = results["training 2×8 fp32"]
    assert training["minutes_of_50001"] == pytest.approx(training["ms"] * 50_001 / 6e4)
    assert "No GPU: tiny sizes" in text
    assert re.search(r"steps in .* min \(goal: under 20\)", text)
