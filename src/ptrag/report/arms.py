"""What the report says about an arm and how it draws it, the same in every plot."""

from collections.abc import Iterable
from dataclasses import dataclass

from ptrag.arms.registry import base_name, load_arm, negative_control
from ptrag.comparison.claims import SPOILT
from ptrag.comparison.contrasts import kind_of
from ptrag.report.figure import COLOURS, INK, NEUTRALS, Look

LOOKS = {
    "control": Look(NEUTRALS[0], "s", dashes=":"),
    "mean_of_others": Look(NEUTRALS[1], "D", dashes="--"),
    "perturbation_mean": Look(NEUTRALS[1], "D", dashes="--"),
    "line_mean": Look(NEUTRALS[2], "^", dashes="-."),
    "additive": Look(COLOURS[11], "v", dashes="--"),
    "additive_singles": Look(NEUTRALS[3], "v", dashes="-."),
    "ridge": Look(COLOURS[8], "P", dashes="--"),
    "knn": Look(COLOURS[4], "X", dashes="--"),
    "evidence_mean": Look(COLOURS[7], "<", dashes="--"),
    "atlas_fusion": Look(NEUTRALS[3], ">", dashes="--"),
    "state": Look(COLOURS[5]),
    "state_genept": Look(COLOURS[1]),
    "state_genept_residual": Look(COLOURS[7]),
    "vanilla_rag": Look(COLOURS[9]),
    "vanilla_rag_residual": Look(COLOURS[6]),
    "ptrag": Look(COLOURS[0]),
    "ptrag_residual": Look(COLOURS[3]),
    "response_expert": Look(COLOURS[10], "p"),
    "response_rag": Look(COLOURS[2]),
    "oracle": Look(INK, "*", dashes=":"),
    "split_half": Look(INK, "h", dashes=":"),
}
SPARE = ">"
"""Marker of arms without a look of their own, each in another colour."""


@dataclass(frozen=True)
class ArmView:
    """One arm as the report shows it.

    Attributes
    ----------
    name
        As in ``arms:`` of the configuration.
    kind
        Of :func:`ptrag.comparison.contrasts.kind_of`: ``baseline``, ``negative control``,
        ``ceiling`` or ``model``.
    summary, origin
        From the registry.
    weighs
        Whether its evidence has coefficients of measured responses, of any sign and size,
        rather than gates from 0 to 1.
    look
        Its colour and marker.
    seeds
        Seeds it ran with; none for an arm without predictions of its own.
    """

    name: str
    kind: str
    summary: str
    origin: str
    weighs: bool
    look: Look
    seeds: tuple[int, ...]


def arm_views(seeds: dict[str, Iterable[int]]) -> dict[str, ArmView]:
    """Return the views of ``{arm: seeds}``, in the given order."""
    views, spare = {}, 0
    for name, of_arm in seeds.items():
        base, control = base_name(name), negative_control(name)
        arm = load_arm(name)
        look = LOOKS.get(base)
        if look is None:
            look, spare = Look(COLOURS[spare % len(COLOURS)], SPARE), spare + 1
        if control:
            look = Look(look.colour, look.marker, hollow=True, dashes="--")
        views[name] = ArmView(
            name=name,
            kind=kind_of(name),
            summary=arm.summary + (f", with {control} {SPOILT[control]}" if control else ""),
            origin=arm.origin,
            weighs=arm.fit is not None,
            look=look,
            seeds=tuple(sorted(set(of_arm))),
        )
    return views
