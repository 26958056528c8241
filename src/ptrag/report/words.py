"""Metrics as the report writes them, which of them it shows first, and the published table."""

from dataclasses import dataclass

from ptrag.metrics.registry import METRICS

BESIDE = ("pearson_delta_degs", "pearson_systema", "w2", "deg_overlap")
"""Metrics that the open tables show beside the primary ones."""

FAMILIES = {
    "means": "Mean profiles and deltas",
    "systema": "Against the mean perturbation (Systema)",
    "distribution": "Distributions of cells",
    "discrimination": "Discrimination of perturbations",
    "degs": "Recovery of differentially expressed genes",
    "vcc2026": "Virtual Cell Challenge 2026",
    "compat": "Conventions of published tables",
    "gge": "As gge-eval has them",
    "cell_eval": "As cell-eval has them",
}


@dataclass(frozen=True)
class Words:
    """A metric in words: its name in files, family, label, direction, what it is."""

    name: str
    family: str
    label: str
    higher: bool
    text: str

    @property
    def arrow(self) -> str:
        """The better direction as a sign."""
        return "↑" if self.higher else "↓"

    @property
    def direction(self) -> str:
        """The better direction in words."""
        return "higher is better" if self.higher else "lower is better"

    @property
    def head(self) -> str:
        """Label and direction, for the head of a column."""
        return f"{self.label}\N{NO-BREAK SPACE}{self.arrow}"

    @property
    def hint(self) -> str:
        """What it is, for a tooltip."""
        return f"{self.text}; {self.direction}"


def words(metric: str) -> Words:
    """Return a metric of :data:`ptrag.metrics.METRICS` in words."""
    known = METRICS[metric]
    return Words(metric, known.family, known.label, known.higher, known.text)


# Published test values (arXiv 2603.07233; 1,635 pairs of Replogle-Nadig). Per row: the paper's
# name, the metric of ours that is nearest, values of PUBLISHED_ARMS.
PUBLISHED_ARMS = ("state", "state_genept", "vanilla_rag", "ptrag")
PUBLISHED = (
    ("Pearson, DEGs", "pearson_delta_degs", (0.624, 0.631, 0.396, 0.633)),
    ("Spearman, DEGs", "spearman_delta_degs", (0.403, 0.411, 0.307, 0.412)),
    ("MSE", "mse_cells", (0.211, 0.210, 0.316, 0.210)),
    ("MSE, PCA-50", "mse_pca", (8.43, 8.42, 12.64, 8.39)),
    ("W1", "w1_joint", (35.70, 35.53, 48.48, 35.41)),
    ("W2", "w2_halved", (646.1, 638.7, 1189.5, 633.7)),
    ("Energy distance", "energy_halved", (9.41, 9.40, 14.18, 9.33)),
)
