"""Files that `joblib.load` opens: plain values, arrays, and estimators of scikit-learn by their pickled form.

Loading such a file runs what is in it: write another format if the other side can read one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from saver import registry
from saver.callers import warn
from saver.errors import IncompatibleError
from saver.format import Chosen, Loss, Out, Writes
from saver.formats._arrays import numpy_dtype, numpy_pieces, release
from saver.formats._writing import Later, Streamed
from saver.formats.pickle.values import LOST, Values
from saver.formats.pickle.writing import Followed, Writer
from saver.pickled import Call, Global, Inert, NotReadError, Pairs
from saver.reading.arrays import Array
from saver.stack import anywhere
from saver.storage import Progress
from saver.tensors import Bytes
from saver.tree import Node

_ALIGNMENT = 16
_WARNING = (
    "a file of joblib is a pickle, which is run when it is loaded: its readers must trust you, and it "
    "opens under this version of scikit-learn alone; a Saver file needs neither"
)


class Joblib(Writes):
    """Plain values, arrays and estimators, as `joblib.dump` writes them."""

    name = "joblib"
    title = "a file of joblib"
    endings = (".joblib",)

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write what has a pickled form that was reviewed; an object is written whole or not at all."""
        made: _Objects
        root: Any
        made, root = anywhere(_made, chosen)
        if root is LOST:
            told = "; ".join(map(str, made.losses[:5]))
            raise IncompatibleError(
                f"{chosen.opened.where}: {self.title} cannot hold it: {told}; nothing was written; write a "
                "Saver file instead, or choose other parts"
            )
        warn(_WARNING, UserWarning)
        out.add("", Streamed(anywhere(Writer(3).pieces, root), progress))
        return made.losses


FORMAT = Joblib()


def _made(chosen: Chosen) -> tuple[_Objects, Inert]:
    made = _Objects(chosen)
    return made, made.root()


class _Objects(Values):
    """Values of files of joblib."""

    def __init__(self, chosen: Chosen) -> None:
        super().__init__(chosen)
        self._gone = 0

    def lost(self, place: str, what: str) -> Inert:
        self._gone += 1
        return super().lost(place, what)

    def array(self, node: Node, array: Array, place: str) -> Inert:
        dtype = numpy_dtype(array)
        if dtype is None:
            return self.lost(place, f"{array.form.name} {list(array.shape)}: NumPy has no such dtype")
        if node.codec != "numpy.array":
            self.losses.append(Loss(place, f"{self.side.title(array)} is written as an array of NumPy"))
        read = partial(numpy_pieces, self.opened, array, dtype)
        return self._followed(array.shape, dtype, read, partial(release, self.opened, array))

    def ndarray(self, array: Any) -> Inert:
        """An array that is in memory."""

        def read() -> list[Bytes]:
            return [np.ascontiguousarray(array).reshape(-1).view(np.uint8)]

        return self._followed(array.shape, array.dtype, read, lambda: None)

    def _followed(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        read: Callable[[], Iterable[Bytes]],
        done: Callable[[], None],
    ) -> Inert:
        length = int(np.prod(shape, dtype=object)) * dtype.itemsize
        self.charge(length)
        state = {
            "subclass": Global("numpy", "ndarray"), "shape": tuple(shape), "order": "C",
            "dtype": self._dtype(dtype), "allow_mmap": True, "numpy_array_alignment_bytes": _ALIGNMENT,
        }  # fmt: skip
        wrapper = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
        call = Call(wrapper, (), made=True, state=Pairs(list(state.items())), has_state=True)
        return Followed(call, Later(length, read, done), _ALIGNMENT)

    def _dtype(self, dtype: np.dtype[Any]) -> Inert:
        numpy: Any = registry.family("numpy").module("pickles")
        return numpy.written(dtype)

    def scalar(self, value: Any, place: str) -> Inert:
        maker = Global("numpy._core.multiarray", "scalar")
        return Call(maker, (self._dtype(value.dtype), value.tobytes()))

    def other(self, node: Node, place: str) -> Inert:
        before = len(self.losses)
        try:
            if node.codec == "numpy.array":
                return self._objects(node, place)
            write = _writers().get(node.codec)
            if write is None:
                raise NotReadError("it has no pickled form that Saver writes")
            return write(node, self, place)
        except (NotReadError, ValueError, TypeError, KeyError, IndexError) as error:
            del self.losses[before + 3 :]
            return self.lost(place, f"{self.side.title(node)}: {error}")

    def _objects(self, node: Node, place: str) -> Inert:
        """An array of objects, or one whose elements have fields."""
        state: Any = node.state
        if "items" not in state:
            return self.ndarray(self.decoder(node))
        if state.get("order", "C") != "C" or state.get("dtype") != "|O":
            raise NotReadError("an array of objects in another order is not written")
        call = Call(
            Global("numpy._core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), b"b"),
            has_state=True,
        )  # fmt: skip
        self.keep(node, call)
        items = self._run(state["items"], place)
        call.state = (1, tuple(state["shape"]), self._dtype(np.dtype(object)), False, items)
        return call

    def _run(self, state: Any, place: str) -> list[Inert]:
        before, found = self._gone, self.run(state, place)
        self._all(found, before)
        return found

    def whole(self, value: Any, place: str) -> Inert:
        """What a value becomes. Raises NotReadError if anything in it is lost."""
        before, found = self._gone, self.value(value, place)
        self._all(found, before)
        return found

    def fields(self, state: Any, place: str) -> Pairs:
        """The same for items by name."""
        before, found = self._gone, Pairs(self.pairs(state, place))
        self._all(found, before)
        return found

    def _all(self, found: Any, before: int) -> None:
        if self._gone != before or found is LOST:
            raise NotReadError("some of it cannot be written")

    def version(self, package: str) -> str | None:
        found = self.opened.manifest.environment.get("packages", {}).get(package)
        return found if type(found) is str else None


@cache
def _writers() -> dict[str, Any]:
    """How each codec's nodes are written, by the codec's name."""
    modules = filter(None, (family.module("pickles") for family in registry.families()))
    return {name: write for module in modules for name, write in getattr(module, "WRITERS", {}).items()}
