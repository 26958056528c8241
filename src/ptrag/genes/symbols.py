"""Gene symbols: aliases, families and shared GO terms, from the table of gene texts."""

import gzip
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ptrag.base.errors import PtragError

GENE_TEXT = Path(__file__).with_name("gene_text.tsv.gz")
"""The table of gene texts that ships with the package, for commands without a configuration."""

COLUMNS = ["symbol", "aliases", "name", "go_process", "go_function", "go_component"]
# Families that HGNC renamed in 2020 since spreadsheets took them for dates (Bruford et al., Nature
# Genetics 52:754): the old symbol means this gene, though others have it as an alias too.
_RENAMED = {"SEPT": "SEPTIN", "MARCH": "MARCHF"}
# The roots of the three ontologies say that nothing is known.
_ROOTS = {"", "biological_process", "molecular_function", "cellular_component"}


@dataclass(frozen=True)
class Gene:
    """One row of the table: current symbol, aliases, full name and GO terms."""

    symbol: str
    aliases: tuple[str, ...]
    name: str
    process: tuple[str, ...]
    function: tuple[str, ...]
    component: tuple[str, ...]

    @property
    def text(self) -> str:
        """What a sentence encoder reads: the full name and the GO process terms.

        Function and component terms stand in where no process is known. They are
        left out elsewhere, since what most genes share (`protein binding`,
        `nucleus`) makes texts alike.
        """
        terms = self.process or (*self.function, *self.component)
        return f"{self.name}. {'; '.join(terms)}" if terms else f"{self.name}."


class Symbols:
    """Every gene of the table, found by current symbol, alias, family or shared terms.

    Attributes
    ----------
    genes
        {current symbol: :class:`Gene`} in table order.
    """

    def __init__(self, genes: dict[str, Gene]) -> None:
        self.genes = genes

    @classmethod
    def read(cls, path: str | Path) -> "Symbols":
        """Read ``gene_text.tsv.gz`` (columns :data:`COLUMNS`); read once per process."""
        return _read(str(path))

    def resolve(self, symbol: str) -> tuple[str | None, str]:
        """Return the current symbol and how it was found.

        Parameters
        ----------
        symbol
            One gene, any case.

        Returns
        -------
        current, level
            ``(symbol, "exact")``, ``(current, "alias")`` where it is another
            spelling or an alias of one gene alone, else ``(None, why)`` with why
            ``unknown`` or ``ambiguous``.
        """
        if symbol in self.genes:
            return symbol, "exact"
        bearers = self.bearers(symbol)
        if len(bearers) == 1:
            return bearers[0], "alias"
        return None, "ambiguous" if bearers else "unknown"

    def bearers(self, symbol: str) -> tuple[str, ...]:
        """Return the current symbols of all genes that ``symbol``, in any case, may mean."""
        renamed = re.fullmatch(r"(SEPT|MARCH)(\d+)", symbol.upper())
        if renamed and (current := _RENAMED[renamed[1]] + renamed[2]) in self.genes:
            return (current,)
        return self._by_spelling.get(symbol.upper(), ())

    def parts(self, perturbation: str) -> list[str]:
        """Return the genes of a perturbation: ``A+B`` has two."""
        return perturbation.split("+")

    def spellings(self, symbol: str) -> list[str]:
        """Return all names of the gene that ``symbol`` means: current first, then aliases."""
        current, _ = self.resolve(symbol)
        if current is None:
            return [symbol]
        return list(dict.fromkeys([current, symbol, *self.genes[current].aliases]))

    def sharing_terms(self, symbol: str, among: set[str], at_most: int = 5) -> list[str]:
        """Return the genes of ``among`` that share most GO process terms with ``symbol``.

        Ties go by symbol; genes that share none are never returned.
        """
        current, _ = self.resolve(symbol)
        if current is None:
            return []
        shared = Counter(
            other
            for term in self.genes[current].process
            for other in self._by_process[term]
            if other in among and other != current
        )
        return sorted(shared, key=lambda other: (-shared[other], other))[:at_most]

    @cached_property
    def _by_spelling(self) -> dict[str, tuple[str, ...]]:
        current: dict[str, dict[str, None]] = {}
        for gene in self.genes.values():
            current.setdefault(gene.symbol.upper(), {})[gene.symbol] = None
        aliases: dict[str, dict[str, None]] = {}
        for gene in self.genes.values():
            for alias in gene.aliases:
                aliases.setdefault(alias.upper(), {})[gene.symbol] = None
        return {spelling: tuple(bearers) for spelling, bearers in (aliases | current).items()}

    @cached_property
    def _by_process(self) -> dict[str, list[str]]:
        genes: dict[str, list[str]] = {}
        for gene in self.genes.values():
            for term in gene.process:
                genes.setdefault(term, []).append(gene.symbol)
        return genes


def family_stem(symbol: str) -> str | None:
    """Return the family part of a symbol, or None where it has none.

    Examples
    --------
    >>> family_stem("MAP2K3"), family_stem("RPL13A"), family_stem("TP53"), family_stem("KRAS")
    ('MAP2K', 'RPL', 'TP', None)
    """
    match = re.fullmatch(r"([A-Z][A-Z0-9-]*[A-Z])\d+[A-Z]{0,2}\d*", symbol.upper())
    return match[1] if match else None


@lru_cache(maxsize=4)
def _read(path: str) -> Symbols:
    if not Path(path).is_file():
        raise PtragError(f"embeddings.text.gene_text: no file {path}")
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as handle:
        header = handle.readline().rstrip("\n").split("\t")
        if header != COLUMNS:
            raise PtragError(f"{path}: expected the columns {', '.join(COLUMNS)}; found {header}")
        rows = [line.rstrip("\n").split("\t") for line in handle]
    return Symbols({row[0]: _gene(row) for row in rows})


def _gene(row: list[str]) -> Gene:
    symbol, aliases, name, *ontologies = row
    terms = [tuple(t for t in terms.split("; ") if t not in _ROOTS) for terms in ontologies]
    return Gene(symbol, tuple(a for a in aliases.split("|") if a), name, *terms)
