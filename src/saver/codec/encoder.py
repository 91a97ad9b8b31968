"""The walk from objects to trees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from math import isfinite
from operator import itemgetter
from typing import Any, NoReturn, TypeVar

from numpy.typing import NDArray

from saver.canonical import canonical
from saver.codec import refusals
from saver.codec.attributes import NONE, attributes_of
from saver.codec.contract import INLINE_BYTES, BatchCodec, Codec
from saver.codec.lookup import codec_for
from saver.codec.names import Names, TensorNames
from saver.codec.written import written
from saver.errors import CannotSaveError
from saver.stack import SEGMENT, is_deep, on_fresh_stack
from saver.tensors import TENSOR_DTYPE, ShardedData, TensorData
from saver.tree import EXACT_INTEGER, MAX_OBJECT_DEPTH, Node, Reference, Tensor, Value, encodable

T = TypeVar("T")


class Encoder:
    """One walk from objects to trees. Call it with each part, in order; the parts may share objects.

    After the walk, `tensors` holds what belongs in the pack, `batches` the shared state of batch codecs, and
    `seeds` the random states that estimators were given, by path; not those that fitting drew from them. With
    `together`, other processes save the rest of `sharded` tensors.
    """

    def __init__(self, together: bool = False) -> None:
        self._together = together
        self.tensors: dict[str, TensorData] = {}
        self.sharded: dict[str, ShardedData] = {}
        self.batches, self.seeds = dict[str, Value](), dict[str, int]()
        self._nodes: dict[int, Node] = {}
        self._alive: list[Any] = []
        self._open: dict[int, Codec] = {}
        self._homes: dict[int, str] = {}
        self._ids: Counter[str] = Counter()
        self._tensor_names = TensorNames()
        self._path, self._part = list[str | int](), ""
        self._batch_items: dict[str, tuple[BatchCodec, list[Any], list[tuple[str | int, ...]]]] = {}
        self._ranks: dict[int, bytes] = {}
        self.names = Names()
        self._shared: dict[Callable[[], Any], Any] = {}
        self._refused = refusals.Refused()

    def part(self, name: str, obj: Any) -> Value:
        """The tree of one part."""
        return self.parts({name: obj})[name]

    def parts(self, objects: Mapping[str, Any]) -> dict[str, Value]:
        """The trees of parts, by name. Raises CannotSaveError, which names all that cannot be saved."""
        trees = {name: self._tree(name, obj) for name, obj in objects.items()}
        self._refused.settle()
        return trees

    def _tree(self, name: str, obj: Any) -> Value:
        self._part = name
        try:
            value = self(obj)
            self._close_batches()
        except RecursionError:
            raise CannotSaveError(refusals.too_deep(self.where())) from None
        except CannotSaveError as error:
            self._refused.end(error, self.where())
            value = None
        finally:
            self._path.clear()
            self._open.clear()
        return value

    def __call__(self, obj: Any, *steps: str | int) -> Value:
        """The tree of `obj`, which is at the path `steps` below the object being encoded."""
        return self._value(obj, steps, False)

    def slot(self, obj: Any, *steps: str | int) -> Value:
        """Like a call, for a place that `Decoder.slot` can fill after the object around it exists."""
        return self._value(obj, steps, True)

    def _value(self, obj: Any, steps: tuple[str | int, ...], fillable: bool) -> Value:
        kind = type(obj)
        if obj is None or kind is bool:
            return obj  # type: ignore[no-any-return]
        if kind is str:
            if len(obj) <= INLINE_BYTES and encodable(obj):
                return obj  # type: ignore[no-any-return]
        elif kind is int:
            if -EXACT_INTEGER <= obj <= EXACT_INTEGER:
                if steps and steps[-1] in ("random_state", "seed") and not self._is_fitted():
                    self.seeds[self.where(*steps)] = obj
                return obj  # type: ignore[no-any-return]
        elif kind is float and isfinite(obj):
            return obj  # type: ignore[no-any-return]
        known = self._nodes.get(id(obj))
        if known is not None:
            return self._again(known, obj, steps, fillable)
        return self._node(obj, kind, steps)

    def _is_fitted(self) -> bool:
        """Whether the object being encoded was made by fitting: its name ends with an underscore."""
        return any(type(step) is str and step.endswith("_") for step in self._path)

    def own(self, obj: Any, *steps: str | int) -> Value:
        """Like a call, for what `Decoder.own` reads: nothing else refers to it."""
        return self._node(obj, type(obj), steps, False)

    def _node(self, obj: Any, kind: type, steps: tuple[str | int, ...], shared: bool = True) -> Node:
        length, known = len(self._path), self._refused.count
        self._path.extend(steps)
        try:
            node = self._encoded(obj, kind, shared)
        except CannotSaveError as error:  # the walk goes on, so that all are reported at once
            self._refused.add(error, self.where(), known)
            node = Node("")
        self._open.pop(id(obj), None)
        del self._path[length:]
        return node

    def _encoded(self, obj: Any, kind: type, shared: bool) -> Node:
        codec = self.codec_of(obj, kind)
        if codec is None:
            self.refuse(refusals.no_data_form(obj))
        if len(self._open) > MAX_OBJECT_DEPTH:
            raise CannotSaveError(refusals.too_deep(self.where()))
        key = id(obj)
        node = Node(codec.name, version=codec.version)
        self._open[key] = codec
        if codec.shared and shared:
            self._nodes[key] = node
            self._homes[key] = self._part
            self._alive.append(obj)
        node.cls = codec.class_of(obj)
        depth = len(self._open)
        if depth % SEGMENT == 1 and (depth > 1 or is_deep()):
            node.state = on_fresh_stack(codec.encode, obj, self)
        else:
            node.state = codec.encode(obj, self)
        if codec.careful:
            self._look_at(obj, codec)
        return node

    def codec_of(self, obj: Any, kind: type) -> Codec | None:
        """The codec that takes an object of this class; None if none does. A walk through things that stand
        for objects has codecs of its own."""
        return codec_for(kind)

    def _again(self, node: Node, obj: Any, steps: tuple[str | int, ...], fillable: bool) -> Reference:
        codec = self._open.get(id(obj))
        why = "" if codec is None else refusals.of_a_cycle(obj, self._open, codec.early or fillable)
        if why:
            self._path.extend(steps)
            self.refuse(why)
        home = self._homes[id(obj)]
        if node.id is None:
            self._ids[home] += 1
            node.id = self._ids[home]
        return Reference(node.id, None if home == self._part else home)

    def has_met(self, obj: Any) -> bool:
        """Whether this very object was encoded as a node of its own."""
        return id(obj) in self._nodes

    def in_order(self, items: Iterable[Any]) -> list[Any]:
        """Items without an order, such as the elements of a set, sorted by the bytes that each would be saved
        as alone. Those with equal bytes are in the order in which the walk met them, unmet ones last."""
        found = list(items)
        if len(found) < 2:
            return found
        ranked = sorted(((self._rank(item), item) for item in found), key=itemgetter(0))
        if any(one == other for (one, _), (other, _) in pairwise(ranked)):
            met = {key: place for place, key in enumerate(self._nodes)}
            ranked.sort(key=lambda item: (item[0], met.get(id(item[1]), len(met))))
        return [item for _, item in ranked]

    def _rank(self, obj: Any) -> bytes:
        kind = type(obj)
        if (kind is int and abs(obj) <= EXACT_INTEGER) or (
            kind is str and len(obj) <= INLINE_BYTES and encodable(obj)
        ):
            return canonical(obj, floats=False)
        if id(obj) not in self._ranks:
            self._alive.append(obj)
            try:
                self._ranks[id(obj)] = self._alone(obj)
            except CannotSaveError:  # saving it fails in the same way, and names the path
                self._ranks[id(obj)] = b""
        return self._ranks[id(obj)]

    def _alone(self, obj: Any) -> bytes:
        """The bytes of an object saved alone; references to the objects around it are written as their
        depth."""
        alone = type(self)()
        alone._ranks, alone._alive, alone._open = self._ranks, self._alive, self._open.copy()
        for depth, (key, codec) in enumerate(self._open.items()):
            if key in self._nodes:
                alone._nodes[key] = Node(codec.name, id=-1 - depth)
                alone._homes[key] = ""
        return written(alone.part("", obj), alone.batches, alone.tensors)

    def attributes(
        self, obj: Any, left_out: frozenset[str] = NONE, data: frozenset[str] = NONE
    ) -> dict[str, Value]:
        """The attributes of an object, except those `left_out`, each under its name as a step of the path.

        Refuses what `Decoder.fill_attributes` would refuse: a name for which the class has a method or a
        property. `data` are names that the class declares as data although it has a value for them.
        """
        found, why = attributes_of(obj, data, left_out)
        if why is not None:
            self.refuse(f"{why}; rename it, or leave it out")
        return {name: self._value(item, (name,), True) for name, item in found.items()}

    def fields(self, mapping: Mapping[str, Any]) -> dict[str, Value]:
        """The items of a mapping, each under its key as a step of the path."""
        if not self.names.are(mapping):
            key = next(key for key in mapping if not self.names.are((key,)))
            self.refuse(f"an attribute is called {key!r}; attributes need plain names")
        return {key: self._value(item, (key,), True) for key, item in mapping.items()}

    def tensor(self, data: NDArray[Any], *steps: str | int) -> Tensor:
        """Add a NumPy array of a dtype that safetensors has; its bytes are taken when the pack is written."""
        dtype = TENSOR_DTYPE[data.dtype.kind, data.dtype.itemsize]
        return self.raw_tensor(TensorData(dtype, data.shape, data), *steps)

    def raw_tensor(self, data: TensorData | ShardedData, *steps: str | int) -> Tensor:
        """Add a tensor under the name of its path: `model/layers.0.weight`."""
        name = self._tensor_names.new(self._part, (*self._path, *steps) if steps else self._path)
        found: dict[str, Any] = self.sharded if isinstance(data, ShardedData) else self.tensors
        found[name] = data
        return Tensor(name)

    def boxes(self, data: ShardedData) -> Tensor:
        """Add the boxes of a tensor that this process holds, where all that have some save together."""
        if not self._together:
            self.refuse(refusals.HELD_IN_PART)
        return self.raw_tensor(data)

    def batch(self, codec: BatchCodec, obj: Any) -> tuple[str, int]:
        """Put `obj` into the part's batch of `codec`. Returns the name of the batch and the index in it."""
        name = f"{self._part}/{codec.name}"
        _, items, paths = self._batch_items.setdefault(name, (codec, [], []))
        items.append(obj)
        paths.append(tuple(self._path))
        return name, len(items) - 1

    def shared(self, make: Callable[[], T]) -> T:
        """A value that codecs keep for this walk, across its parts; the first call creates it with `make`."""
        if make not in self._shared:
            self._shared[make] = make()
        found: T = self._shared[make]
        return found

    def _close_batches(self) -> None:
        while self._batch_items:
            name, (codec, items, paths) = self._batch_items.popitem()
            self._path[:] = [codec.name]
            known = self._refused.count
            try:
                self.batches[name] = codec.encode_batch(items, self)
                self._refused.settle(known)
            except CannotSaveError:
                for item, path in zip(items, paths, strict=True):
                    alone = type(self)()
                    alone._part, alone._path = self._part, [*path]
                    codec.encode_batch([item], alone)
                    alone._refused.settle()  # names the place of the one that is wrong
                raise

    def where(self, *steps: str | int) -> str:
        """The path of the object being encoded, as errors show it: `$.model.callbacks[2]`."""
        return refusals.shown(self._part, (*self._path, *steps))

    def refuse(self, why: str) -> NoReturn:
        """Raise CannotSaveError for the object being encoded."""
        raise CannotSaveError(f"{self.where()}: {why}")

    def _look_at(self, obj: Any, codec: Codec) -> None:
        """Refuse what would not come back."""
        why = refusals.unsaved(obj, codec)
        if why:
            self.refuse(why)
        self.check(codec.check, obj)

    def check(self, check: Callable[..., object], *values: Any) -> None:
        """Call what loading will call, too; refuse to save what it raises ValueError or TypeError for."""
        try:
            check(*values)
        except (ValueError, TypeError) as error:
            raise CannotSaveError(f"{self.where()}: {refusals.unsound(error)}") from error
