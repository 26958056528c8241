"""Where a bundle's vectors of perturbations come from, so that any gene can have one later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ptrag.base.errors import PtragError
from ptrag.base.files import sha256
from ptrag.genes.symbols import GENE_TEXT


class Provider(NamedTuple):
    """A provider of vectors with the file that it reads.

    Attributes
    ----------
    name
        ``text``, ``genept`` or ``table``.
    source
        Its file: the gene texts, the GenePT archive, the table.
    missing
        What becomes of a perturbation without a vector: ``drop`` or ``family``.
    control
        ``shuffled`` or ``random`` where the vectors are those of a negative control.
    member, member_sha256
        Of the archive.
    """

    name: str
    source: Path
    missing: str = "drop"
    control: str | None = None
    member: str | None = None
    member_sha256: str | None = None

    @classmethod
    def of_settings(
        cls, embedding: str, settings: Mapping[str, Any], source: str | Path | None = None
    ) -> "Provider":
        """Return the provider of an embedding such as ``text@shuffled``.

        Parameters
        ----------
        embedding
            Its name.
        settings
            The section ``embeddings`` of the configuration.
        source
            The provider's file; None: that of the settings.
        """
        name, _, control = embedding.partition("@")
        named = {"text": settings["text"]["gene_text"], "table": settings["table"]["path"]}
        source = source or named.get(name)
        if source is None:
            raise PtragError(f"embeddings.{name}: no file is named that has its vectors")
        missing = "drop" if settings["missing"] == "error" else settings["missing"]
        options = settings["genept"] if name == "genept" else {}
        return cls(
            name, Path(source), missing, control or None,
            options.get("member"), options.get("member_sha256"),
        )  # fmt: skip

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any], source: Path) -> "Provider":
        """Return the provider of :meth:`facts`, with its file in the bundle."""
        keys = ("name", "missing", "control", "member", "member_sha256")
        return cls(source=source, **{key: facts[key] for key in keys})

    def facts(self) -> dict[str, Any]:
        """Return what ``bundle.json`` says of it: name, file, hash, how a new gene is treated."""
        facts = self._asdict() | {"source": self.source.name, "sha256": sha256(self.source)}
        facts["new_genes"] = NEW_GENES[self.control]
        return facts

    def settings(self) -> dict[str, Any]:
        """Return the section ``embeddings`` that opens the provider's file."""
        text = self.source if self.name == "text" else GENE_TEXT
        return {
            "text": {"gene_text": str(text)},
            "genept": {"member": self.member, "member_sha256": self.member_sha256},
            "table": {"path": str(self.source)},
            "missing": self.missing,
        }


NEW_GENES = {
    None: "embedded by the provider, from its file",
    "shuffled": "the vector of a perturbation of the bundle, drawn by the gene's name",
    "random": "a direction drawn by the gene's name, with the mean length of the bundle's vectors",
}
"""How a gene that the bundle has no vector of gets one, by the negative control."""
