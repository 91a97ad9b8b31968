"""Files of skops, read without importing what they name.

Format: a zip archive with `schema.json`, a tree of what `skops.io` saved, and arrays beside it. Its nodes
become the inert values that pickles become too (`saver.pickled`), so what the families know of pickled
estimators holds for these files, and what no family knows is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Export, Loss, Reads, WritesObjects, missing
from saver.formats._blobs import SCHEMA, ends_as_skops
from saver.formats.pickle.archive import Archive
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opening import opened_value, value_of
from saver.formats.pickle.records import MAGIC
from saver.formats.skops.nodes import Nodes
from saver.opened import Opened
from saver.pickled import Inert
from saver.storage import Blob
from saver.strict import strict_json


class Skops(Reads, WritesObjects):
    """A file of `skops.io.dump`. Objects of any library are written that skops takes."""

    name = "skops"
    title = "a file of skops"
    endings = (".skops",)
    extra = "skops"

    def recognizes(self, blob: Blob) -> bool:
        """Whether it is a zip archive with a schema."""
        if blob.read(0, 4) != MAGIC:
            return False
        if ends_as_skops(blob):
            return True
        try:
            return Archive(blob).has(SCHEMA)
        except SaverError:
            return False

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The value as one part, or a dict with names as its parts. Nothing is imported or called.

        Raises IncompatibleError, which names all that has no data form.
        """
        found = Archive(blob)
        schema = strict_json(found.read(SCHEMA), f"{blob.name}: {SCHEMA}")
        machine = Machine(found.mapped.data)

        def read(machine: Machine) -> Inert:
            return Nodes(found, machine).root(schema)

        root = value_of(machine, blob.name, "a file of skops", read)
        version = schema.get("_skops_version")
        told = "a file of skops" + (f" {version[:40]}" if type(version) is str else "")
        return opened_value(root, machine, blob, found.mapped, blob.size, told)

    def _exported(self, export: Export) -> Sequence[Loss]:
        try:
            from skops import io
        except ImportError:
            raise missing("skops", self.extra) from None
        try:
            io.dump(export.obj, export.out.path(""))
        except (OSError, MemoryError):
            raise
        except Exception as error:  # of skops, or of a class that it asks for its state
            raise IncompatibleError(
                f"{export.place}: skops cannot write it: {type(error).__name__}: {error!s:.300}"
            ) from error
        return []


FORMAT = Skops()
