"""Labels as people write them: what in them does not count, and words that are never genes.

Placeholders, words for controls, safe harbours and reporters are no genes, although the table of
aliases has some of them: ``NA`` is an alias of XK, ``nan`` of SCN11A, ``AAVS1`` of PPP1R12C, and
CTRL is a gene.
"""

import re
import unicodedata


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PLACEHOLDERS = _words(
    "na n/a #n/a nan <na> none null nil - -- . ? unknown unassigned undetermined unmapped missing "
    "unlabelled unlabeled no_guide noguide no_sgrna not_assigned doublet multiplet"
)
"""Words that stand where a label is missing, in lower case."""

NOT_GENES = _words(
    "aavs1 rosa26 hrosa26 hipp11 h11 safe_harbor safe_harbour intergenic gfp egfp sfgfp bfp tagbfp "
    "ebfp2 rfp tagrfp mcherry tdtomato dsred yfp eyfp mvenus ecfp mneongreen mscarlet mkate2 luc "
    "luc2 fluc rluc nluc luciferase lacz cas9 dcas9 cas12a cas13d empty empty_vector"
)
"""Safe harbours, reporters and parts of the vector, in lower case."""

_CONTROL_WORD = re.compile(
    r"(neg(ative)?_?)?(ctrls?|ctl|controls?)(_?\d+)?|non?_?target(ing|ed)?(_?\d+)?|ntc?(_\d+)?"
    r"|safe_?target(ing)?(_?\d+)?|scr(ambled?)?(_\d+)?|neg(ative)?"
    r"|unperturbed|untreated|untransduced|mock|vehicle|dmso|wild_?type|wt"
)
_MONTH = "(mar|sept?|dec|oct|apr)"
_DATE = re.compile(rf"\d{{1,2}}-{_MONTH}|{_MONTH}-\d{{1,2}}", re.IGNORECASE)
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"))


def tidy(label: object) -> str:
    """Return a label without what cannot be seen: outer and repeated blanks, zero-width characters.

    Examples
    --------
    >>> tidy(" HLA\u2011A\u00a0")
    'HLA-A'
    """
    text = unicodedata.normalize("NFKC", str(label)).translate(_INVISIBLE).translate(_HYPHENS)
    return " ".join(text.split())


def is_placeholder(label: object) -> bool:
    """Whether a label is a word for a missing one, such as ``NA``, ``nan`` or ``unassigned``."""
    text = word(label)
    return not text or text in PLACEHOLDERS


def is_control_word(label: object) -> bool:
    """Whether a label is a usual word for controls, such as ``ctrl``, ``NT-2`` or ``NegCtrl0``."""
    return _CONTROL_WORD.fullmatch(word(label)) is not None


def is_not_a_gene(label: object) -> bool:
    """Whether a label names a safe harbour, a reporter or a part of the vector."""
    return word(label) in NOT_GENES


def is_date(label: object) -> bool:
    """Whether a label reads like a date that a spreadsheet made of a symbol, such as ``1-Mar``."""
    return _DATE.fullmatch(tidy(label)) is not None


def word(label: object) -> str:
    """Return a label in lower case with ``_`` for blanks and hyphens, to look words up."""
    text = tidy(label).lower()
    return text if text in PLACEHOLDERS else re.sub(r"[\s_-]+", "_", text)
