"""What a perturbation is, whatever it is called: the set of its target genes.

``A+B`` and ``B+A`` are one perturbation, ``stat1`` and ``STAT1`` one gene, and so are a symbol and
an alias that means this gene alone.
"""

from ptrag.genes.symbols import Symbols


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
    return frozenset(_current(part, symbols) for part in perturbation.split("+"))


def joined_targets(perturbation: str, symbols: Symbols | None = None) -> str:
    """Return :func:`target_genes` sorted and joined by ``+``: one name for every perturbation."""
    return "+".join(sorted(target_genes(perturbation, symbols)))


def _current(gene: str, symbols: Symbols | None) -> str:
    current = symbols.resolve(gene)[0] if symbols else None
    return current or gene.upper()
