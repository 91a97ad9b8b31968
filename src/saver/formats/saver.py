"""Saver's own file, which holds everything: see `saver.file`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from saver.encoding import encode_opened
from saver.errors import SaverError
from saver.file import content_of
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.opened import Opened
from saver.opening import open_own
from saver.pack.layout import is_foreign
from saver.pack.read import read_header
from saver.storage import Blob, Progress


class SaverFile(Reads, Writes):
    """One file, as `saver.dump` writes it."""

    name = "saver"
    title = "a Saver file"
    endings = (".saver",)

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins with a header of Saver's own."""
        try:
            return not is_foreign(read_header(blob))
        except SaverError:
            return False

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The content, as `saver.load` finds it."""
        return open_own(blob, read_header(blob))

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write the parts, and those that they refer to."""
        opened = chosen.opened.only(chosen.parts)
        encoded = encode_opened(opened, progress)
        document = msgspec.structs.replace(opened.manifest, tensors={}, packs=(), transaction="")
        whole = len(chosen.opened.trees) == len(opened.trees)
        signatures = chosen.opened.signatures if whole else ()
        out.add("", content_of(document, encoded, progress, signatures=signatures))
        return []


FORMAT = SaverFile()
