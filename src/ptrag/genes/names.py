"""One identity for each perturbation, gene and cell line, whatever a file or a list calls it.

Everything that enters the project passes here once: labels of cells, names in split lists, names
given to a command, names of columns. Two spellings of one thing become one name:

- blanks, invisible characters and exotic hyphens do not count (:func:`tidy`);
- a gene is its current HGNC symbol, found by symbol, by another case or by an alias that is one
  gene's alone; what more than one gene may be called stays as it is;
- a perturbation is the sorted set of its genes, ``A+B``; controls inside a double are no gene;
- a cell line has one spelling in a data set, case and blanks aside.

Some words are never genes, although the table of aliases has them (:mod:`ptrag.genes.words`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ptrag.base.errors import PtragError
from ptrag.base.names import CONTROL
from ptrag.genes.symbols import Symbols
from ptrag.genes.words import is_control_word, is_date, is_not_a_gene, is_placeholder, tidy, word

EXACT = "exact"
ALIAS = "alias"
AMBIGUOUS = "ambiguous"
UNKNOWN = "unknown"
NOT_A_GENE = "not a gene"
CONTROL_WORD = "control word"
HOW = (EXACT, ALIAS, CONTROL, CONTROL_WORD, NOT_A_GENE, AMBIGUOUS, UNKNOWN)
"""How a name was found, surest first; a double has the last of those of its parts."""


class Named(NamedTuple):
    """A name, how it was found (one of :data:`HOW`), and a note for the reader of the table."""

    name: str
    how: str
    note: str = ""


class Names:
    """The names of one data set's perturbations and genes.

    Parameters
    ----------
    symbols
        Current symbols and aliases.
    control
        What the source calls unperturbed cells: a label, a list of labels, or
        ``{"pattern": regular expression}`` that a label must match from its start to its end.
    pattern
        Regular expression whose first group is the gene in a label, such as that of a guide; it
        is not asked of control labels.

    Raises
    ------
    PtragError
        If a pattern does not compile, has no group, or ``control`` is empty.
    """

    def __init__(
        self,
        symbols: Symbols,
        control: str | Sequence[str] | Mapping[str, str] = CONTROL,
        pattern: str | None = None,
    ) -> None:
        self.symbols = symbols
        self._pattern = compiled("perturbation_pattern", pattern, groups=1) if pattern else None
        self._control_pattern = None
        labels: list[str] = []
        if isinstance(control, Mapping):
            self._control_pattern = compiled("control.pattern", control["pattern"])
            self.control = f"pattern {control['pattern']}"
        else:
            labels = [control] if isinstance(control, str) else list(control)
            self.control = " or ".join(repr(label) for label in labels)
        if (not labels and self._control_pattern is None) or not all(map(tidy, labels)):
            raise PtragError("control: names no label; give what the source calls its controls")
        self._controls = {tidy(label) for label in labels}
        inner = {self._inside(label) for label in self._controls}
        self._folded = {label.casefold() for label in self._controls | inner - {None}}

    def raw(self, label: object) -> str:
        """Return what a label says besides the guide: its tidied part that names genes.

        Raises
        ------
        PtragError
            If the label does not match the pattern.
        """
        text = tidy(label)
        if self.is_control(text) or self._pattern is None:
            return text
        if (inside := self._inside(text)) is None:
            raise PtragError(
                f"label '{label}' does not match perturbation_pattern '{self._pattern.pattern}' "
                "(its first group is the gene); mend the pattern"
            )
        return inside

    def is_control(self, label: object) -> bool:
        """Whether a whole label means unperturbed cells.

        By the label itself, by its part that the pattern takes out (with ``NT-1`` for control,
        ``NT-2`` is another guide of it), or by another case of either.

        Raises
        ------
        PtragError
            If only the case tells the control from the symbol of a gene.
        """
        text = tidy(label)
        if text in self._controls:
            return True
        if self._control_pattern is not None:
            return self._control_pattern.fullmatch(text) is not None
        inside = self._inside(text)
        for spelling in filter(None, (text, inside)):
            if spelling.casefold() in self._folded:
                if spelling in self.symbols.genes:
                    raise PtragError(
                        f"label '{label}' is the gene {spelling} or {self.control} (control) in "
                        "another spelling; rename it, or list it under `control`"
                    )
                return True
        return False

    def perturbation(self, label: object) -> Named:
        """Return the name of a label's perturbation: ``control``, a gene, or genes as ``A+B``.

        Raises
        ------
        PtragError
            If the label does not match the pattern, lacks a gene on one side of ``+``, has a
            placeholder there, or means controls without being named as such.
        """
        if self.is_control(label):
            return Named(CONTROL, CONTROL)
        raw = self.raw(label)
        if word(raw) == CONTROL:
            raise PtragError(
                f"label '{label}' means control here, but `control` is {self.control}; "
                "set control to it or rename the label"
            )
        parts = [tidy(part) for part in raw.split("+")]
        if len(parts) == 1:
            return self.gene(raw)
        if not all(parts):
            raise PtragError(f"label '{label}' names no gene on one side of '+'; mend it")
        if missing := next(filter(is_placeholder, parts), None):
            raise PtragError(f"label '{label}': '{missing}' names no gene; mend it")
        genes = [self.gene(part) for part in parts if not self._is_control_part(part)]
        if not genes:
            return Named(CONTROL, CONTROL, "controls on both sides of '+'")
        names = sorted({gene.name for gene in genes})
        notes = [gene.note for gene in genes if gene.note]
        if len(genes) < len(parts):
            notes.append("the control inside is no gene")
        return Named("+".join(names), max((g.how for g in genes), key=HOW.index), "; ".join(notes))

    def gene(self, label: object) -> Named:
        """Return the current symbol of one gene; what is no gene, or not one alone, stays."""
        text = tidy(label)
        if text in self.symbols.genes:
            note = "also a word for controls" if is_control_word(text) else ""
            return Named(text, EXACT, note)
        if is_not_a_gene(text) or is_placeholder(text):
            return Named(text, NOT_A_GENE)
        if is_control_word(text):
            return Named(text, CONTROL_WORD, "reads like a control; name it in `control`")
        bearers = self.symbols.bearers(text)
        if len(bearers) == 1:
            return Named(bearers[0], ALIAS)
        if bearers:
            return Named(text, AMBIGUOUS, "may be " + " or ".join(bearers))
        if is_date(text):
            return Named(text, UNKNOWN, "reads like a date that a spreadsheet made of a symbol")
        return Named(text, UNKNOWN)

    def identity(self, perturbation: str) -> str:
        """Return what two names of one perturbation have in common, to compare them by.

        Its name without case, since what is no gene of the table has no spelling of its own; or
        its tidied self where it cannot be read as a perturbation.
        """
        try:
            return self.perturbation(perturbation).name.casefold()
        except PtragError:
            return tidy(perturbation).casefold()

    def match(self, asked: Iterable[str], known: Iterable[str]) -> dict[str, str]:
        """Find what a list asks for among known perturbations, by identity.

        Returns
        -------
        dict
            {asked: known name} of what is known; the rest is absent.
        """
        known = set(known)
        by_identity = {self.identity(name): name for name in sorted(known)}
        names = {
            name: name if name in known else by_identity.get(self.identity(name)) for name in asked
        }
        return {name: match for name, match in names.items() if match is not None}

    def possible_genes(self, perturbation: str) -> frozenset[str]:
        """Return every gene that a perturbation may mean, in lower case.

        Of an ambiguous part that is all genes that are called so. For audits: two perturbations
        without a common possible gene are surely different.
        """
        genes: set[str] = set()
        for part in tidy(perturbation).split("+"):
            named = self.gene(part)
            bearers = self.symbols.bearers(named.name) if named.how == AMBIGUOUS else [named.name]
            genes.update(name.casefold() for name in bearers)
        return frozenset(genes)

    def _inside(self, text: str) -> str | None:
        """Return what the pattern takes out of a label, or None."""
        if self._pattern is None:
            return None
        match = self._pattern.search(text)
        return tidy(match[1]) or None if match and match[1] else None

    def _is_control_part(self, part: str) -> bool:
        """Whether a part of a double is a control: this data set's, or any word for one."""
        if part in self.symbols.genes and part.casefold() not in self._folded:
            return False
        if self._control_pattern is not None and self._control_pattern.fullmatch(part):
            return True
        return part.casefold() in self._folded or is_control_word(part)


def compiled(key: str, pattern: str, groups: int = 0) -> re.Pattern[str]:
    """Compile a pattern of the configuration.

    Raises
    ------
    PtragError
        If it is no regular expression, or has fewer than ``groups`` groups.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise PtragError(
            f"{key}: '{pattern}' is no regular expression ({error}); mend it"
        ) from None
    if regex.groups < groups:
        raise PtragError(f"{key}: '{pattern}' has no group; put the gene in parentheses")
    return regex


def line_key(line: object) -> str:
    """Return what makes a cell line the same: its name without case and blanks."""
    return "".join(tidy(line).split()).casefold()


def one_spelling(lines: Mapping[str, int]) -> dict[str, str]:
    """Give every cell line one spelling: that of most cells, then the first in the alphabet.

    Parameters
    ----------
    lines
        {label in the source: cells}.

    Returns
    -------
    dict
        {label in the source: name}.
    """
    cells: dict[str, Counter[str]] = defaultdict(Counter)
    for label, n in lines.items():
        cells[line_key(label)][tidy(label)] += n
    names = {key: min(of, key=lambda name: (-of[name], name)) for key, of in cells.items()}
    return {label: names[line_key(label)] for label in lines}


def match_line(asked: str, lines: Iterable[str]) -> str | None:
    """Return the line of ``lines`` that ``asked`` means, or None."""
    lines = list(lines)
    if asked in lines:
        return asked
    return next((line for line in lines if line_key(line) == line_key(asked)), None)
