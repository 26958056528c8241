"""Names of metrics as the report writes them, and the paper's published table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A metric in words: its name in files, a label, the direction, what it is."""

    name: str
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


def words(metric: str) -> Words:
    """Return a metric in words."""
    return Words(
        metric, metric.replace("_", " "), not metric.startswith(("mse", "energy", "w2")), ""
    )


# Published test values (arXiv 2603.07233; 1,635 pairs of Replogle-Nadig). Per row: the paper's
# name, the metric of ours that is nearest, values of PUBLISHED_ARMS.
PUBLISHED_ARMS = ("state", "state_genept", "vanilla_rag", "ptrag")
PUBLISHED = (
    ("Pearson, DEGs", "pearson_delta_degs", (0.624, 0.631, 0.396, 0.633)),
    ("Spearman, DEGs", "spearman_delta_degs", (0.403, 0.411, 0.307, 0.412)),
    ("MSE", "mse", (0.211, 0.210, 0.316, 0.210)),
    ("MSE, PCA-50", "mse_pca", (8.43, 8.42, 12.64, 8.39)),
    ("W1", "w1", (35.70, 35.53, 48.48, 35.41)),
    ("W2", "w2_halved", (646.1, 638.7, 1189.5, 633.7)),
    ("Energy distance", "energy_halved", (9.41, 9.40, 14.18, 9.33)),
)
