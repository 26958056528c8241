"""GenePT vectors, read without trusting the pickle that they come in."""

import hashlib
import io
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

from ptrag.base.errors import PtragError, did_you_mean


class PlainUnpickler(pickle.Unpickler):
    """Unpickle plain containers, strings and numbers; refuse everything that is code.

    A pickle can run code only through a global that it names: none is admitted.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every global."""
        raise pickle.UnpicklingError(f"it names the global {module}.{name}")


def load_genept(
    path: str | Path, member: str | None = None, member_sha256: str | None = None
) -> dict[str, list[float]]:
    """Read GenePT vectors from the published archive or from a pickle on its own.

    Parameters
    ----------
    path
        A zip archive, or the pickle itself.
    member
        The pickle's name inside the archive.
    member_sha256
        Its checksum, compared before anything is unpickled.

    Returns
    -------
    vectors
        {gene symbol: E floats}, all of one length. The published table needs
        about 6 GB while it is read.

    Raises
    ------
    PtragError
        For a wrong checksum, an unknown member, a pickle that names code or
        holds anything else than {str: list of float}, or vectors of unequal length.
    """
    path = Path(path)
    if not path.is_file():
        raise PtragError(
            f"embeddings.genept: no file {path}; download it or choose embedding: text"
        )
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as handle:
            return _load(handle, f"{path}", member_sha256)
    try:
        with zipfile.ZipFile(path) as archive:
            if member not in archive.namelist():
                near = did_you_mean(member, archive.namelist())
                raise PtragError(f"{path}: embeddings.genept.member: no {member!r}; {near}")
            with archive.open(member) as handle:
                return _load(handle, f"{path}: {member}", member_sha256)
    except zipfile.BadZipFile as error:
        raise PtragError(f"{path}: damaged archive ({error}); delete it to fetch it anew") from None


def _load(handle: IO[bytes], where: str, sha256: str | None) -> dict[str, list[float]]:
    if sha256 is not None:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if digest != sha256:
            raise PtragError(
                f"{where}: sha256 is {digest}, embeddings.genept.member_sha256 says {sha256}; "
                "delete the file to fetch it anew"
            )
        handle.seek(0)
    try:
        vectors = PlainUnpickler(io.BufferedReader(handle, 1 << 20)).load()
    except Exception as error:  # a hostile pickle can fail in any way
        raise PtragError(
            f"{where}: refused as unsafe or damaged pickle ({error}); expected a dict of lists "
            "of floats"
        ) from None
    _check(vectors, where)
    return vectors


def _check(vectors: Any, where: str) -> None:
    if type(vectors) is not dict or not vectors:
        raise PtragError(
            f"{where}: holds a {type(vectors).__name__}, expected a dict symbol -> list of floats"
        )
    size = None
    for name, vector in vectors.items():
        if type(name) is not str or type(vector) not in (list, tuple):
            raise PtragError(f"{where}: {name!r}: expected str -> list of floats")
        if not vector or any(type(value) is not float for value in vector):
            raise PtragError(f"{where}: the vector of {name!r} holds something else than floats")
        size = size or len(vector)
        if len(vector) != size:
            raise PtragError(
                f"{where}: the vector of {name!r} has {len(vector)} dimensions, others have {size}"
            )
