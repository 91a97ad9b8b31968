"""Pickles, and what holds them, read without running them: files of `pickle`, of joblib and of PyTorch.

Opcodes are interpreted into inert values (`machine.py`), in which every class and function is a name. The
families say what calls of these names become (`saver.pickled`); what no family knows is refused, all of it
at once. The result is encoded as a save would encode it, so a load decodes, checks and asks trust as for a
file of Saver's own.
"""

from __future__ import annotations

from contextlib import suppress

from saver.errors import SaverError
from saver.format import Beside, Reads
from saver.formats.pickle import records, tar
from saver.formats.pickle.archive import Archive
from saver.formats.pickle.calls import Malformed
from saver.formats.pickle.contents import Content, content_of, holds_pickle, is_pickle
from saver.formats.pickle.joblib import Arrays
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run
from saver.formats.pickle.opening import opened_value, value_of
from saver.formats.pickle.torch import MAGIC, open_archive, open_row
from saver.opened import Opened
from saver.pickled import Inert
from saver.storage import Blob


class Pickle(Reads):
    """Pickles, plain, compressed, or in the files of joblib and PyTorch."""

    name = "pickle"
    title = "a pickle"
    endings = (".pkl", ".pickle")

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins as a pickle does, compressed or not, or is an archive of `torch.save`."""
        if blob.read(0, 4) != records.MAGIC:
            return holds_pickle(blob) or tar.is_archive(blob)
        try:
            files = Archive(blob)
            return files.has("data.pkl") or (
                len(files.names) == 1 and is_pickle(files.beginning(*files.names, _SOME))
            )
        except SaverError:
            return b"data.pkl" in blob.read(0, 512)  # opening it says what is wrong

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The value as one part, or a dict with names as its parts. Nothing is imported or called.

        Raises IncompatibleError, which names all that the pickle would have run and that no family knows.
        """
        if tar.is_archive(blob):
            return tar.open_tar(blob)
        files = Archive(blob) if blob.read(0, 4) == records.MAGIC else None
        if files is not None and (files.has("data.pkl") or len(files.names) != 1):
            return open_archive(blob, files)
        content = content_of(blob) if files is None else Content(files.sole(), None, "zip-compressed")
        what = f"a pickle, {content.how}," if content.how else "a pickle"
        arrays = Arrays(blob.name, beside)
        arrays.machine = machine = Machine(content.data, built=arrays)
        root = value_of(machine, blob.name, what, _first)
        if root == MAGIC and type(root) is int:
            return open_row(blob, content, machine)
        by = " of joblib" if arrays.met else ""
        told = f"a pickle{by}, protocol {machine.protocol}" + f", {content.how}" * bool(content.how)
        return opened_value(root, machine, blob, content.mapped, len(content.data), told)


FORMAT = Pickle()
_SOME = 4096


def _first(machine: Machine) -> Inert:
    """The value of a pickle behind which nothing follows, or the magic number of PyTorch's older files."""
    found = run(machine)
    left = len(machine.data) - machine.at
    if left and not (type(found) is int and found == MAGIC):
        with suppress(Malformed):  # so that what others would run is named as well
            while machine.at < len(machine.data):
                run(machine)
        raise Malformed(f"{left:,} bytes follow its end, which could be another one")
    return found
