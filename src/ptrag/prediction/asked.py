"""Which perturbations a user asks for: each name resolved, or refused with what is near it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ptrag.base.errors import PtragError, near_matches
from ptrag.base.names import CONTROL
from ptrag.genes.names import AMBIGUOUS, CONTROL_WORD, NOT_A_GENE, UNKNOWN, Named, Names
from ptrag.prediction.bundle import Bundle

SHOWN = 5
NO_GENE = (AMBIGUOUS, CONTROL_WORD, NOT_A_GENE, UNKNOWN)


@dataclass
class Asked:
    """What is to be predicted.

    Attributes
    ----------
    names
        Perturbations, each once, in the order that they were asked for in.
    fallback
        Those of which the bundle knows nothing, with the reason.
    notes
        What was renamed or named twice.
    """

    names: list[str] = field(default_factory=list)
    fallback: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def resolve(
    asked: Sequence[str], bundle: Bundle, names: Names, allow_fallback: bool = False
) -> Asked:
    """Resolve the perturbations that a user asks for.

    Parameters
    ----------
    asked
        Names of genes, doubles as ``A+B``.
    bundle
        What is to predict them.
    names
        How genes are called.
    allow_fallback
        Whether a perturbation of which the bundle knows nothing is predicted by the mean response
        of the line; else it is refused.

    Raises
    ------
    PtragError
        For unknown and ambiguous names, for what is no gene, and for genes that the bundle's arm
        knows nothing of.
    """
    result, faults, twice = Asked(), {}, []
    matches = names.match(asked, bundle.known_perturbations)
    for label in asked:
        name, fault = _resolved(label, matches.get(label), bundle, names)
        if name in result.names or name in result.fallback:
            twice.append(f"{label}" if label == name else f"{label} is {name}")
            continue
        if fault and not allow_fallback:
            faults[label] = fault
            continue
        if fault:
            result.fallback[name] = fault
        elif name != label:
            result.notes.append(f"{label} is {name}")
        result.names.append(name)
    if faults:
        raise PtragError(_refusal(faults, bundle))
    if twice:
        result.notes.append(
            f"{len(twice)} names came twice and are predicted once ({', '.join(twice[:SHOWN])})"
        )
    result.notes += [f"{name}: {fault}" for name, fault in result.fallback.items()]
    return result


def refuse_no_genes(asked: Sequence[str], bundle: Bundle, names: Names) -> None:
    """Refuse names that are no gene, whatever the arm knows of it.

    Raises
    ------
    PtragError
        With what is near them.
    """
    matches = names.match(asked, bundle.known_perturbations)
    named = {label: names.perturbation(label) for label in asked if not matches.get(label)}
    faults = {
        label: _fault(label, name, bundle, names)
        for label, name in named.items()
        if name.how in NO_GENE
    }
    if faults:
        raise PtragError("; ".join(list(faults.values())[:SHOWN]))


def all_genes(bundle: Bundle, names: Names) -> list[str]:
    """Return every gene of the table of symbols that the bundle knows something of."""
    every = sorted({*bundle.known_perturbations, *names.symbols.genes})
    known = [name for name in every if bundle.informed(name)]
    if not known:
        raise PtragError("the bundle knows no perturbation that it could predict")
    return known


def _resolved(
    label: str, match: str | None, bundle: Bundle, names: Names
) -> tuple[str, str | None]:
    """Return the name of a perturbation, and why the bundle knows nothing of it, if so."""
    named = Named(match, "exact") if match else names.perturbation(label)
    if named.name == CONTROL:
        raise PtragError(f"perturbation {label!r}: means control, which is none; name a gene")
    if match is None and named.how in NO_GENE:
        return named.name, _fault(label, named, bundle, names)
    if bundle.informed(named.name):
        return named.name, None
    return named.name, (
        f"{named.name} is a gene, but the arm '{bundle.about['arm']}' "
        + ("has no vector of it" if bundle.any_gene else "was not trained on it")
    )


def _fault(label: str, named: Named, bundle: Bundle, names: Names) -> str:
    if named.how == AMBIGUOUS:
        return f"{label!r} is ambiguous, it {named.note}; name one of these"
    if named.how != UNKNOWN:
        return f"{label!r} is no gene ({named.how})"
    known = dict.fromkeys(sorted({*bundle.known_perturbations, *names.symbols.genes}))
    near = near_matches(label.upper(), known, cutoff=0.7)
    hint = f"did you mean {' or '.join(near)}?" if near else "no name is near it"
    note = f" ({named.note})" if named.note else ""
    return f"{label!r} is no gene of the table of symbols{note}: {hint}"


def _refusal(faults: dict[str, str], bundle: Bundle) -> str:
    shown = "; ".join(list(faults.values())[:SHOWN])
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    n = f"{len(faults)} perturbations" if len(faults) > 1 else "1 perturbation"
    return (
        f"{n}: {shown}{more}. Mend the names, or allow the fallback (--allow-fallback), "
        "which predicts them by the mean response of the line"
    )
