"""What a trained residual adds to the response expert: three designs, on the contest's screens.

    python benchmarks/residual.py demo network semireal_dev --data-dir data --splits hepg2 genes

All learn what the expert misses of a training pair that it has not seen, the residual of exact
leave-one-out, less the mean of the line (which is the noise of its controls, and would be learnt
back). They see the expert's own prediction, the text vector, how little the expert knows of the
pair, and the line:

``linear``, ``components``
    scores of the residual along principal components of the shrunken responses, by a ridge
    regression and by a small network
``heteroscedastic``
    the same by networks that predict mean and variance, trained by the likelihood of scores with
    their measured errors; a mean is shrunk by what the networks disagree about and the variance
``genes``
    the residual of every gene by a small network

Networks stop early, and the penalty is chosen, by perturbations that are held out; five fits leave
out a fifth of the perturbations each, and their mean is added to the expert's delta and profile.
``NAME raw`` adds all of it, ``NAME`` as far as the left-out perturbations of the target line
confirm it, as the expert's own steps are taken. ``--level-alone`` is the positive control: an
expert without its members, which misses all that is of a perturbation's own.

Printed: how far of each residual is taken, then each arm's lead over the expert, clustered by
perturbation.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import yaml
from contest import OURS, Predicted, fits, score
from paired import paired_differences
from screens import Screen, screens, screens_parser

from ptrag.arms.catalogue import response_expert
from ptrag.arms.expert.expert import Expert
from ptrag.arms.expert.sparse import shrunken
from ptrag.arms.expert.stacking import Stack, distance
from ptrag.arms.expert.variances import fitted_lines, held_out
from ptrag.base.files import write_table
from ptrag.genes.embeddings import Embedding

N_COMPONENTS, N_TEXT = 24, 32
FOLDS = 5
PENALTIES = 10.0 ** np.arange(6)
MEMBERS = 3  # heteroscedastic networks of a fold
HIDDEN, DROPOUT, RATE, DECAY = 64, 0.2, 0.002, 0.02
EPOCHS, PATIENCE, BATCH = 300, 25, 64

Learned = Callable[[np.ndarray], np.ndarray]
"""(m, F) features → (m, G) residuals."""


class Known(NamedTuple):
    """What is learnt from, of N training entries, and the features of n pairs to predict.

    Attributes
    ----------
    features, asked
        (N, F) and (n, F).
    residual, noise
        (N, G) what the expert misses, and squared standard errors.
    directions
        (K, G) principal components of shrunken responses.
    perturbation, judged
        (N,) number; whether the entry is of the line that is predicted.
    """

    features: np.ndarray
    asked: np.ndarray
    residual: np.ndarray
    noise: np.ndarray
    directions: np.ndarray
    perturbation: np.ndarray
    judged: np.ndarray


def main() -> None:
    """Fit, train, score, print."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("--text-signal", type=float, default=0.8)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--splits", nargs="+", default=["hepg2", "genes"])
    parser.add_argument("--level-alone", action="store_true", help="an expert without members")
    parser.add_argument("--out", default="results/residual.tsv")
    arguments = parser.parse_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    torch.set_num_threads(1)
    tables = []
    for name in arguments.datasets:
        signal = arguments.text_signal if "simulate" in config["datasets"].get(name, {}) else None
        for seed in arguments.seeds:
            for screen in screens(config, name, seed, signal, arguments.data_dir):
                if screen.split in arguments.splits:
                    options = config["arm_options"][OURS]
                    tables.append(scored(screen, options, arguments.level_alone))
                    write_table(pd.concat(tables, ignore_index=True), arguments.out)
    scores = pd.concat(tables, ignore_index=True)
    contrasts = [(arm, OURS) for arm in scores["arm"].unique() if arm != OURS]
    print(paired_differences(scores, contrasts, config["evaluation"]).to_string(index=False))


def scored(screen: Screen, options: dict, level_alone: bool) -> pd.DataFrame:
    """Return one row per arm and test pair of a screen."""
    expert = response_expert.fit(screen.responses, *screen.read_by(OURS), options)
    if level_alone:
        expert = replace(expert, stack=Stack({}, expert.stack.slopes))
    base = fits(replace(screen, store=None), expert, None)  # without cells
    known = _known(screen, expert, base.delta)
    arms = {OURS: base}
    for design, learn in DESIGNS.items():
        left_out, asked = _folds(known, learn)
        taken = _taken(known, left_out)
        print(screen.case, screen.split, screen.seed, design, f"taken {taken:.2f}", flush=True)
        for arm, part in ((f"{design} raw", asked), (design, taken * asked)):
            arms[arm] = Predicted(base.delta + part, base.profile + part, base.energy)
    return score(screen, arms)


def _known(screen: Screen, expert: Expert, predicted: np.ndarray) -> Known:
    responses = screen.responses
    left_out = expert.leave_one_out()
    residual = responses.delta - left_out
    for line in np.unique(responses.line_of):
        rows = responses.line_of == line
        residual[rows] -= residual[rows].mean(axis=0)
    entries = shrunken(responses)
    values = responses.centred if entries is None else entries.values
    directions = np.linalg.svd(values, full_matrices=False)[2][:N_COMPONENTS]
    groups = held_out(responses, responses.lines)
    unsure, of_asked = np.ones(len(residual)), np.ones(len(predicted))
    if expert.leading:
        leading = expert.member(expert.leading)
        unsure[np.concatenate(groups)] = leading.left_out_variance(groups)
        keep = np.ones(len(residual), bool)
        of_asked = np.array([leading.mixture(*pair, keep).variance for pair in screen.pairs])
    unsure = np.where(np.isfinite(unsure), unsure, np.nanmedian(unsure))
    texts = _texts(screen.embeddings[None], responses.perturbations)

    def features(delta: np.ndarray, pairs: list, variance: np.ndarray) -> np.ndarray:
        lines = np.eye(len(responses.lines))[[responses.lines.index(line) for line, _ in pairs]]
        logs = np.log(np.maximum(variance, 1e-12))
        scores = delta @ directions.T
        read = np.array([texts(perturbation) for _, perturbation in pairs])
        return np.column_stack([scores, np.abs(scores).sum(axis=1), logs, read, lines])

    training = features(left_out, responses.pairs, unsure)
    centre, scale = training.mean(axis=0), training.std(axis=0) + 1e-8
    both = (training, features(predicted, screen.pairs, of_asked))
    training, asked = (np.clip((x - centre) / scale, -5, 5) for x in both)
    judged = np.isin(responses.entries["cell_line"], fitted_lines(responses))
    return Known(
        training, asked, residual, responses.own_variance, directions, responses.perturbation_of,
        judged,
    )  # fmt: skip


def _texts(embedding: Embedding, trained: list[str]) -> Callable[[str], np.ndarray]:
    """Return the first components of a perturbation's vector; 0 where it has none."""
    vectors = dict(zip(embedding.names, embedding.vectors.astype(float), strict=True))
    known = np.array([vectors[name] for name in trained if name in vectors])
    mean = known.mean(axis=0)
    basis = np.linalg.svd(known - mean, full_matrices=False)[2][:N_TEXT]
    return lambda name: basis @ (vectors.get(name, mean) - mean)


def _folds(known: Known, learn: Callable[..., Learned]) -> tuple[np.ndarray, np.ndarray]:
    """(N, G) residuals without the entry's perturbation, and (n, G) of the pairs asked for."""
    number = known.perturbation.max() + 1
    fold = (np.random.default_rng(0).permutation(number) % FOLDS)[known.perturbation]
    left_out = np.empty_like(known.residual)
    asked = np.zeros((len(known.asked), known.residual.shape[1]))
    for one in range(FOLDS):
        held = np.random.default_rng(one + 1).permutation(number) % 6 == 0
        stops = held[known.perturbation] & (fold != one)
        learned = learn(known, np.flatnonzero((fold != one) & ~stops), np.flatnonzero(stops), one)
        left_out[fold == one] = learned(known.features[fold == one])
        asked += learned(known.asked) / FOLDS
    return left_out, asked


def _taken(known: Known, left_out: np.ndarray) -> float:
    rows = known.judged
    _, cluster = np.unique(known.perturbation[rows], return_inverse=True)
    along = np.bincount(cluster, (left_out * known.residual)[rows].sum(axis=1))
    return distance(along, np.bincount(cluster, (left_out[rows] ** 2).sum(axis=1)))


def linear(known: Known, rows: np.ndarray, stops: np.ndarray, seed: int) -> Learned:
    """Ridge regression of the scores; the penalty by the perturbations of ``stops``."""
    X, Y = known.features, known.residual @ known.directions.T

    def solve(penalty: float, of: np.ndarray) -> np.ndarray:
        gram = X[of].T @ X[of] + penalty * np.eye(X.shape[1])
        return np.linalg.solve(gram, X[of].T @ Y[of])

    errors = [((Y[stops] - X[stops] @ solve(each, rows)) ** 2).sum() for each in PENALTIES]
    B = solve(PENALTIES[int(np.argmin(errors))], np.concatenate([rows, stops]))
    return lambda features: features @ B @ known.directions


def components(known: Known, rows: np.ndarray, stops: np.ndarray, seed: int) -> Learned:
    """Regress the scores by a network."""
    scores = known.residual @ known.directions.T
    unit = float(np.sqrt((scores**2).mean()))
    target = torch.tensor(scores / unit, dtype=torch.float32)
    network = _train(
        known, rows, stops, seed, target.shape[1], lambda y, at: ((y - target[at]) ** 2).mean()
    )
    return lambda features: _apply(network, features) * unit @ known.directions


def heteroscedastic(known: Known, rows: np.ndarray, stops: np.ndarray, seed: int) -> Learned:
    """Mean and variance of the scores beyond their measured errors, by an ensemble."""
    scores = known.residual @ known.directions.T
    unit = scores.std(axis=0)
    target = torch.tensor(scores / unit, dtype=torch.float32)
    errors = torch.tensor(known.noise @ known.directions.T**2 / unit**2, dtype=torch.float32)
    K = target.shape[1]

    def loss(y: torch.Tensor, at: np.ndarray) -> torch.Tensor:
        variance = errors[at] + torch.exp(y[:, K:].clamp(-8, 4))
        return ((y[:, :K] - target[at]) ** 2 / variance + torch.log(variance)).mean() / 2

    seeds = range(MEMBERS * seed, MEMBERS * (seed + 1))
    networks = [_train(known, rows, stops, each, 2 * K, loss) for each in seeds]

    def learned(features: np.ndarray) -> np.ndarray:
        each = np.array([_apply(network, features) for network in networks])
        mean = each[..., :K].mean(axis=0)
        own = np.exp(np.clip(each[..., K:], -8, 4)).mean(axis=0) * 8 / len(rows)
        uncertain = each[..., :K].var(axis=0, ddof=1) + own
        return mean**3 / (mean**2 + uncertain) * unit @ known.directions

    return learned


def genes(known: Known, rows: np.ndarray, stops: np.ndarray, seed: int) -> Learned:
    """Regress every gene's residual by a network."""
    unit = float(known.residual.std())
    target = torch.tensor(known.residual / unit, dtype=torch.float32)
    network = _train(
        known, rows, stops, seed, target.shape[1], lambda y, at: ((y - target[at]) ** 2).mean()
    )
    return lambda features: _apply(network, features) * unit


DESIGNS = {each.__name__: each for each in (linear, components, heteroscedastic, genes)}


def _train(
    known: Known, rows: np.ndarray, stops: np.ndarray, seed: int, n_outputs: int,
    loss: Callable[[torch.Tensor, np.ndarray], torch.Tensor],
) -> torch.nn.Module:  # fmt: skip
    """Train a network from features until the perturbations of ``stops`` gain no more."""
    torch.manual_seed(seed)
    rng, X = np.random.default_rng(seed), torch.tensor(known.features, dtype=torch.float32)
    sizes = (X.shape[1], HIDDEN, HIDDEN)
    layers = [
        layer
        for size, following in pairwise(sizes)
        for layer in (torch.nn.Linear(size, following), torch.nn.SiLU(), torch.nn.Dropout(DROPOUT))
    ]
    last = torch.nn.Linear(HIDDEN, n_outputs)
    with torch.no_grad():  # nothing is added at the start
        last.weight.mul_(0.01)
        last.bias.zero_()
    network = torch.nn.Sequential(*layers, last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    least, kept, since = np.inf, None, 0
    for _ in range(EPOCHS):
        network.train()
        for at in np.array_split(rng.permutation(rows), max(1, len(rows) // BATCH)):
            optimizer.zero_grad()
            loss(network(X[at]), at).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            value = loss(network(X[stops]), stops).item()
        since += 1
        if value < least:
            least, since = value, 0
            kept = {name: weight.clone() for name, weight in network.state_dict().items()}
        elif since > PATIENCE:
            break
    network.load_state_dict(kept)
    return network


def _apply(network: torch.nn.Module, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.tensor(features, dtype=torch.float32)).numpy().astype(float)


if __name__ == "__main__":
    main()
