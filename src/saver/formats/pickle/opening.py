"""From a pickle's bytes to an opened file: run the machine, refuse what has no data form, encode the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from saver.encoding import makes_parts
from saver.errors import IncompatibleError, SaverError
from saver.formats._packing import opened_parts
from saver.formats.pickle.calls import Malformed, kind_of
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run, run_whole
from saver.formats.pickle.readers import notes_of, refused
from saver.formats.pickle.walk import Walk
from saver.opened import Opened
from saver.pickled import Call, Inert, Pairs
from saver.repo.manifest import SOLE
from saver.storage import Blob
from saver.tensors import Bytes
from saver.tree import Value

_NEXT = (
    "Saver ran none of it. If you trust its author, load it with the library that wrote it, and save the "
    "result with saver.dump; if you do not, delete it"
)


def value_of(machine: Machine, where: str, what: str, read: Callable[[Machine], Inert] = run) -> Inert:
    """The value that a pickle describes. Raises IncompatibleError, which says all that it would have run, if
    it is malformed or asks for what has no data form."""
    why = ""
    found: Inert = None
    try:
        found = read(machine)
    except Malformed as error:
        why = str(error)
    told = refused(machine)
    if told:
        listed = "; ".join(told[:100]) + f"; and {len(told) - 100:,} more" * (len(told) > 100)
        broken = f" (and it is broken: {why})" if why else ""
        raise IncompatibleError(f"{where} is {what} that asks for code to be run{broken}: {listed}. {_NEXT}")
    if why:
        raise IncompatibleError(
            f"{where} is {what} that cannot be read: {why}; copy it from its source again"
        )
    return found


def array_of_objects(machine: Machine, name: str = "the file") -> Inert:
    """The array of objects that a pickle describes, as `numpy.save` writes it."""
    root = run_whole(machine)
    if type(root) is not Call or root.function.name not in ("_reconstruct", "_frombuffer"):
        raise Malformed(f"there is {kind_of(root)} in {name[:80]!r}, where an array belongs")
    return root


def encoded(root: Inert, where: str, in_parts: bool = True) -> tuple[Walk, dict[str, Value], bool]:
    """The encoder, the trees of the parts, and whether they come from one mapping."""
    named = in_parts and type(root) is Pairs and _has_names(root)
    try:
        mapping = dict(root.items) if named else None
        if mapping is not None and makes_parts(mapping):
            walk = Walk()
            trees = walk.parts(mapping)
            if not walk.has_met(root):
                return walk, trees, True
        walk = Walk()
        return walk, {SOLE: walk.part(SOLE, root)}, False
    except SaverError as error:
        raise IncompatibleError(f"{where}: {error}. {_OTHERWISE}") from None
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        raise IncompatibleError(
            f"{where}: it is not what its library writes ({type(error).__name__}: {error}). {_OTHERWISE}"
        ) from None


_OTHERWISE = (
    "Load it with the library that wrote it, if you trust its author, and save the result with saver.dump"
)


def _has_names(root: Pairs) -> bool:
    return all(type(key) is str for key, _ in root.items)


def opened_value(
    root: Inert,
    machine: Machine,
    blob: Blob,
    mapped: Bytes | None,
    size: int,
    what: str,
    in_parts: bool = True,
) -> Opened:
    """The opened file of a value; `what` says how it was stored, and goes into the environment. A dict with
    names becomes parts, unless `in_parts` is false."""
    walk, trees, whole = encoded(root, blob.name, in_parts)
    environment: dict[str, Any] = {"imported from": what}
    packages = notes_of(machine.calls)
    if packages:
        environment["packages"] = packages
    return opened_parts(
        trees, walk.batches, walk.tensors, whole=whole, blob=blob, mapped=mapped, size=size,
        environment=environment,
    )  # fmt: skip
