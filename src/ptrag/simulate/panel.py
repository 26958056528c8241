"""Which real genes a simulated screen perturbs and which it measures.

Every perturbation belongs to a family of genes that share one GO process term. Families are drawn
among genes with at most :data:`MAX_TERMS` process terms, so that the shared term stands out in
their texts: a choice in favour of the encoder, without which ``text_signal`` could not mean what
it says.
"""

from collections import defaultdict

import numpy as np

from ptrag.base.errors import PtragError
from ptrag.genes.symbols import Symbols

FAMILY_SIZE = 8  # perturbations that share a term; fewer in small screens
MAX_TERMS = 4  # GO process terms of a gene that may be perturbed
SECONDARY = 0.3  # weight of a perturbation's term that is no family's, beside 1 for one that is


def draw_families(symbols: Symbols, n: int, rng: np.random.Generator) -> dict[str, str]:
    """Draw n genes in families: {gene: the GO process term that its family shares}."""
    among = defaultdict(list)
    for gene in symbols.genes.values():
        if 1 <= len(gene.process) <= MAX_TERMS and gene.symbol.isalnum():
            for term in gene.process:
                among[term].append(gene.symbol)
    vague = ("regulation", "positive", "negative", "response", "cell", "protein", "transport")
    terms = sorted(
        term
        for term, genes in among.items()
        if 12 <= len(genes) <= 60 and not term.startswith(vague)
    )
    n_families = max(1, n // FAMILY_SIZE, min(4, n // 3))
    sizes = [len(part) for part in np.array_split(np.arange(n), n_families)]
    family: dict[str, str] = {}
    for term in rng.permutation(terms):
        free = [gene for gene in among[term] if gene not in family]
        if len(free) >= sizes[-1]:
            size = sizes.pop()
            family |= dict.fromkeys(map(str, rng.choice(free, size, replace=False)), str(term))
        if not sizes:
            return family
    raise PtragError(
        f"simulate.n_perturbations: {n} is too many, the gene texts give families for {len(family)}"
    )


def draw_genes(
    symbols: Symbols, perturbations: list[str], n: int, rng: np.random.Generator
) -> list[str]:
    """Draw n measured genes, half of the perturbed ones among them."""
    among = [s for s, gene in symbols.genes.items() if gene.process and s not in perturbations]
    kept = rng.choice(perturbations, min(len(perturbations) // 2, n // 4), replace=False)
    if n - len(kept) > len(among):
        raise PtragError(f"simulate.n_genes: {n} is more than the {len(among)} genes with a text")
    return sorted(map(str, [*kept, *rng.choice(among, n - len(kept), replace=False)]))
