"""What a perturbation is, whatever it is called: the set of its target genes.

``A+B`` and ``B+A`` are one perturbation, ``stat1`` and ``STAT1`` one gene, and so are a symbol and
an alias that means this gene alone. Words that are no gene (:mod:`ptrag.genes.words`) are nobody's
alias, and controls inside ``A+control`` no target.
"""

from ptrag.genes.names import ALIAS, EXACT, Names
from ptrag.genes.symbols import Symbols
from ptrag.genes.words import is_control_word, tidy


def target_genes(perturbation: str, symbols: Symbols | None = None) -> frozenset[str]:
    """Return the current symbols of a perturbation's target genes.

    A part that the table does not resolve (or without a table) is taken in capitals.

    Parameters
    ----------
    perturbation
        A label, ``A+B`` for two genes.
    symbols
        Spellings and aliases.

    Examples
    --------
    >>> target_genes("stat1+Jak2") == target_genes("JAK2+STAT1")
    True
    """
    parts = [tidy(part) for part in perturbation.split("+")]
    known = symbols.genes if symbols else {}
    targets = [part for part in parts if part in known or not is_control_word(part)]
    return frozenset(_current(part, symbols) for part in targets or parts)


def joined_targets(perturbation: str, symbols: Symbols | None = None) -> str:
    """Return :func:`target_genes` sorted and joined by ``+``: one name for every perturbation."""
    return "+".join(sorted(target_genes(perturbation, symbols)))


def _current(gene: str, symbols: Symbols | None) -> str:
    if symbols is not None:
        named = Names(symbols).gene(gene)
        if named.how in (EXACT, ALIAS):
            return named.name
    return gene.upper()
