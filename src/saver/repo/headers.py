"""Whether the header of a pack, by which others read it, says what the manifests say, by which Saver does."""

from __future__ import annotations

from saver.pack import Pack
from saver.repo.places import Known


def contradiction(pack: Pack, name: str, known: Known) -> str | None:
    """What the header says else than the manifest of a tensor that the pack was written for, and that lies in
    it whole."""
    ((_, offset, length),) = known.places
    entry = pack.entries.get(name)
    if entry is None:
        return "the header of the pack does not name it, and the manifest does"
    if (pack.start + entry.offset, entry.length) != (offset, length):
        return "the header of the pack and the manifest place it differently"
    told, wanted = _form(entry.dtype, entry.shape), _form(known.dtype, known.shape)
    if (entry.dtype, entry.shape) != (known.dtype, known.shape):
        return f"the header of the pack says that it is {told}, and the manifest {wanted}"
    if (entry.hash, entry.blocks) != (known.hash, known.blocks):
        return "the header of the pack and the manifest have different hashes for it"
    return None


def _form(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} {str(list(shape))[:80]}"
