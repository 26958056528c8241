"""What the report says about an arm and how it draws it, the same in every plot."""

from collections.abc import Iterable
from dataclasses import dataclass

from ptrag.models.registry import base_name, embedding_control, load_arm
from ptrag.report.figure import COLOURS, INK, NEUTRALS, Look

# Arms that know the truth: bounds to read the others against, never contestants.
CEILINGS = ("oracle", "split_half")

LOOKS = {
    "control": Look(NEUTRALS[0], "s", dashes=":"),
    "perturbation_mean": Look(NEUTRALS[1], "D", dashes="--"),
    "line_mean": Look(NEUTRALS[2], "^", dashes="-."),
    "additive": Look(COLOURS[11], "v", dashes="--"),
    "ridge": Look(COLOURS[8], "P", dashes="--"),
    "knn": Look(COLOURS[4], "X", dashes="--"),
    "state": Look(COLOURS[5]),
    "state_genept": Look(COLOURS[1]),
    "vanilla_rag": Look(COLOURS[9]),
    "vanilla_rag_residual": Look(COLOURS[6]),
    "ptrag": Look(COLOURS[0]),
    "ptrag_residual": Look(COLOURS[3]),
    "response_rag": Look(COLOURS[2]),
    "oracle": Look(INK, "*", dashes=":"),
    "split_half": Look(INK, "h", dashes=":"),
}
SPARE = (COLOURS[7], COLOURS[10])


@dataclass(frozen=True)
class ArmView:
    """One arm as the report shows it.

    Attributes
    ----------
    name
        As in ``arms:`` of the configuration.
    kind
        ``baseline`` (closed form), ``model`` (trained network), ``negative control``
        (an arm on a spoilt embedding) or ``ceiling`` (knows the truth).
    summary, origin
        From the registry.
    look
        Its colour and marker.
    seeds
        Seeds it ran with.
    """

    name: str
    kind: str
    summary: str
    origin: str
    look: Look
    seeds: tuple[int, ...]


def arm_views(seeds: dict[str, Iterable[int]]) -> dict[str, ArmView]:
    """Return the views of ``{arm: seeds}``, in the given order."""
    views, spare = {}, 0
    for name, its_seeds in seeds.items():
        base, spoilt = base_name(name), embedding_control(name)
        arm = load_arm(name)
        look = LOOKS.get(base)
        if look is None:
            look, spare = Look(SPARE[spare % len(SPARE)]), spare + 1
        if spoilt:
            look = Look(look.colour, look.marker, hollow=True, dashes="--")
        views[name] = ArmView(
            name=name,
            kind=_kind(base, arm.family, spoilt),
            summary=arm.summary + (f", on {spoilt} embeddings" if spoilt else ""),
            origin=arm.origin,
            look=look,
            seeds=tuple(sorted(set(its_seeds))),
        )
    return views


def _kind(base: str, family: str, spoilt: str | None) -> str:
    if base in CEILINGS:
        return "ceiling"
    if spoilt:
        return "negative control"
    return "model" if family == "neural" else "baseline"
