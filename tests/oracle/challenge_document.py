"""The table of agreement of the 2026 challenge's metrics.

.venv-oracle/bin/python tests/oracle/challenge_document.py
"""

import numpy as np
from challenge import ROOT, SCREENS, THEIRS, rows


def main() -> None:
    """Print the table."""
    source = ROOT.parent / "shared" / "data"
    print("| data | prediction | member | cell-eval2's name | ours | theirs | largest difference |")
    print("|---|---|---|---|---|---|---|")
    for data in SCREENS:
        for row in rows(data, source):
            means = [
                f"{np.nanmean(of):.6g}" if np.isfinite(of).any() else "undefined"
                for of in (row.ours, row.theirs)
            ]
            print(f"| {row.data} | {row.prediction} | `{row.member}` | `{THEIRS[row.member]}` | "
                  f"{means[0]} | {means[1]} | {row.difference:.1e} |")  # fmt: skip


if __name__ == "__main__":
    main()
