"""What a page shows of a split, whether its predictions are the workflow's or made elsewhere."""

from typing import Any

from ptrag.report import scores, sections, strata, tables
from ptrag.report.gather import Results, SplitView
from ptrag.report.verdict import place, shown_metrics
from ptrag.report.words import words


def split_content(results: Results, split: SplitView) -> dict[str, Any]:
    """Return what the templates name of the scores of a split."""
    claims, families = split.claims, tables.families(results)
    metric, shown = claims.metric, shown_metrics(results)
    drawn = dict.fromkeys([metric, *claims.primary])
    return {
        "name": split.name,
        "place": place(split),
        "role": split.role,
        "n_pairs": len(split.pairs),
        "metric": words(metric),
        "baseline": claims.first(metric, "baseline"),
        "table": scores.comparison(results, split, shown, "first metrics", ends=True),
        "families": [
            scores.comparison(results, split, metrics, title) for title, metrics in families.items()
        ],
        "overview": sections.overview(results, split),
        "standings": scores.standings(results, split, shown),
        "contrasts": scores.contrasts(results, split, claims.primary),
        "contrast_plot": sections.contrast_plot(results, split),
        "strips": [strip for name in drawn if (strip := sections.strips(results, split, name))],
        "scatters": sections.scatters(results, split, metric),
        "strata": strata.panels(results, split),
        "strata_legend": sections.legend(sections.main_arms(results, split)),
        "by_strength": strata.by_strength(results, split),
        "solved": strata.solved(split),
    }
