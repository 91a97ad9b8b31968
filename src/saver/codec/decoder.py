"""The walk from trees to objects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from saver import trust, uses
from saver.codec.attributes import NONE, door
from saver.codec.budget import Budget
from saver.codec.contract import BatchCodec, Codec, is_array
from saver.codec.delayed import Delayed, Pending
from saver.codec.device import Device
from saver.codec.needed import Needed
from saver.codec.tensors import TensorReader
from saver.errors import IncompatibleError, SaverError, kind_of, with_article
from saver.registry import codec_root
from saver.rules import Broken, rule_of
from saver.stack import SEGMENT, is_deep, on_fresh_stack
from saver.tensors import TensorSource
from saver.tree import MAX_OBJECT_DEPTH, SCALARS, Node, Reference, Tensor, Value

MAX_DECODED_DEPTH = 2 * MAX_OBJECT_DEPTH
"""Twice what is ever written: a reference may point deep into a part that has not been decoded."""

_OF_LAYER_3 = frozenset(("builtins", "stdlib", "numpy", "saver"))
"""The roots of the codecs in layer 3 of the format; profiles of layer 4 describe the others."""


class Decoder(TensorReader):
    """One walk from trees, parsed and audited, to objects.

    `nodes` are all the nodes of the trees; `batches` is the shared state of batch codecs; `budget` limits
    them all; `allowed` is what the audit went by. `versions` returns the end of a message: the versions of
    these packages under which it was saved, and the way out.
    """

    def __init__(
        self,
        nodes: Collection[Node],
        batches: Mapping[str, Value],
        tensors: TensorSource,
        where: str = "$",
        budget: Budget | None = None,
        device: Device | None = None,
        versions: Callable[[Iterable[str]], str] = lambda packages: "",
        allowed: trust.Allowed = trust.Allowed(),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__(tensors, Budget(0, where=where) if budget is None else budget, where)
        self._versions = versions
        self.device = Device() if device is None else device
        self._unchecked: list[tuple[Node, Codec, Any]] = []
        self._built: dict[int | str, Any] = {}
        self._standing: dict[int, Any] = {}
        self._depth = 0
        self._open: set[int | str] = set()
        self.delayed = Delayed()
        self._batches = batches
        self._built_batches: dict[str, Sequence[Any]] = {}
        found = Needed(where, versions)
        if is_deep():
            on_fresh_stack(found.look_up, nodes, allowed)  # imports need room
        else:
            found.look_up(nodes, allowed)
        self._targets, self._codecs, self._classes = found.targets, found.codecs, found.classes

    @property
    def where(self) -> str:
        """What messages call the value being decoded."""
        return self._where

    def __call__(self, value: Value) -> Any:
        """The object that `value` describes."""
        kind = type(value)
        if kind is Node:
            return self._build(value)  # type: ignore[arg-type]
        if kind is Reference:
            found = self._again(value.id)  # type: ignore[union-attr, arg-type]
            if type(found) is Pending:
                raise IncompatibleError(
                    f"{self._where}: node {found.id} contains itself where it cannot", rule="2.22"
                )
            return found
        if kind is list or kind is dict or kind is Tensor:
            raise IncompatibleError(
                f"{self._where}: there is {with_article(kind.__name__)} where an object belongs", rule="2.21"
            )
        return value

    def attempt(self, value: Value) -> Any:
        """Like a call. If it fails, all that it built is forgotten: it may be incomplete or unchecked."""
        known = len(self._built)
        try:
            return self(value)
        except BaseException:
            self._built = dict(list(self._built.items())[:known])
            self._open.clear()
            self.delayed.clear()
            self._unchecked.clear()
            self._depth = 0
            raise

    def slot(self, value: Value, container: Any, key: Any) -> Any:
        """The object for `container[key]`; if a cycle delays it, None, and it is stored there later."""
        if type(value) is not Reference:
            return self(value)
        found = self._again(value.id)
        if type(found) is Pending:
            self.delayed.put(found.id, container, key)
            return None
        return found

    def copied(self, copy: Callable[[], object], since: int) -> None:
        """Call `copy`, which takes over what was decoded into something temporary; and again whenever a cycle
        stores an object there later. `since` is what `delayed.count` was before that was decoded."""
        copy()
        self.delayed.copied(copy, since)

    def fill_attributes(self, obj: Any, state: Any, data: frozenset[str] = NONE) -> None:
        """Decode what `Encoder.attributes` encoded into the attributes of `obj`. The only way to set them.

        No code of the class runs. Raises ValueError for a name that the class does not leave free: that of
        a method, a property, or anything that Python looks up by itself. `data` is as in `Door`.
        """
        if type(state) is not dict:
            raise ValueError("the attributes of an object are not a JSON object")
        self.fill(state, door(type(obj), data).target(obj, state.keys()))

    def attributes(self, cls: type, state: Any, data: frozenset[str] = NONE) -> dict[str, Any]:
        """The same for an existing object of that class: returns its future attributes, and sets none."""
        if type(state) is not dict:
            raise ValueError("the attributes of an object are not a JSON object")
        for name in state:
            why = door(cls, data).refusal(name)
            if why is not None:
                raise ValueError(why)
        found: dict[str, Any] = {}
        self.fill(state, found)
        return found

    def fill(self, state: Any, target: MutableMapping[str, Any]) -> None:
        """Decode the items that `Encoder.fields` encoded into `target`, which must not hold an object's
        attributes."""
        if type(state) is not dict:
            raise ValueError("items are not a JSON object")
        for key, value in state.items():
            kind = type(value)
            if kind is Node:
                target[key] = self._build(value)
            elif kind in SCALARS:
                target[key] = value
            elif kind is Reference:
                target[key] = self.slot(value, target, key)
            else:
                target[key] = self(value)

    def extend(self, target: list[Any], values: Iterable[Value]) -> None:
        """Decode values and append them to `target`, which objects in a cycle may already refer to."""
        for value in values:
            kind = type(value)
            if kind is Node:
                target.append(self._build(value))  # type: ignore[arg-type]
            elif kind in SCALARS:
                target.append(value)
            else:
                target.append(self.slot(value, target, len(target)))

    def keep(self, node: Node, obj: Any) -> None:
        """Announce the object of `node` before its content is decoded."""
        if node.id is not None:
            self._built[node.id] = obj

    def stand_in(self, node: Node, obj: Any) -> None:
        """Let `obj`, an existing object, be the object of `node` wherever it occurs."""
        self._standing[id(node)] = obj
        self.keep(node, obj)

    def cls(self, node: Node) -> Any:
        """The class or function that `node` asks for, audited and resolved."""
        if node.cls is None:
            raise Broken("2.20", f"a node of {node.codec!r} needs a class")
        return self._classes[node.codec, node.cls]

    def _again(self, ident: int | str) -> Any:
        if ident in self._built:
            return self._built[ident]
        node = self._targets.get(ident)
        if node is None:
            raise IncompatibleError(f"{self._where} refers to node {ident}, which is missing", rule="2.12")
        return Pending(ident) if ident in self._open else self._build(node)

    def _build(self, node: Node) -> Any:
        ident = node.id
        if self._standing and id(node) in self._standing:
            return self._standing[id(node)]
        if ident is not None:
            if ident in self._built:
                return self._built[ident]
            self._begin(ident)
        self._depth = depth = self._depth + 1
        if depth > MAX_DECODED_DEPTH:
            raise IncompatibleError(f"{self._where}: objects are nested too deep")
        budget = self.budget
        budget.steps -= 1
        if budget.steps < 0:
            budget.exceeded()
        codec = self._codecs[node.codec]
        try:
            no_room = depth % SEGMENT == 1 and (depth > 1 or is_deep())
            obj = on_fresh_stack(codec.decode, node, self) if no_room else codec.decode(node, self)
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self._not_understood(node, error) from error
        self._depth = depth = depth - 1
        if ident is not None:
            self._is_there(ident, obj)
        if codec.checks:
            self._unchecked.append((node, codec, obj))
        if not depth:
            self._complete(node)
        return obj

    def unfinished(self) -> Iterable[Any]:
        """The objects that are being built, and referred to already."""
        return (self._built[ident] for ident in self._open if ident in self._built)

    def _begin(self, ident: int | str) -> None:
        """The object of a node that others refer to is being built."""
        if ident in self._open:
            raise IncompatibleError(f"{self._where}: node {ident} contains itself", rule="2.22")
        self._open.add(ident)

    def _is_there(self, ident: int | str, obj: Any) -> None:
        """The object of a node that others refer to is complete."""
        self._open.discard(ident)
        self._built[ident] = obj
        self.delayed.are_there(ident, obj)

    def _not_understood(self, node: Node, error: Exception) -> IncompatibleError:
        """The bytes match their hash, so another version of a library wrote them, or another program."""
        if isinstance(error, RecursionError):
            return IncompatibleError(
                f"{self._where}: a {node.codec!r} needs deeper recursion than Python's limit of "
                f"{sys.getrecursionlimit()} allows here; raise it with sys.setrecursionlimit"
            )
        package = node.cls.partition(":")[0].partition(".")[0] if node.cls else codec_root(node.codec)
        why = str(error).partition("\n")[0]  # PyTorch adds the stack of its own code
        kind = "ValueError" if isinstance(error, Broken) else type(error).__name__
        return IncompatibleError(
            f"{self._where}: the state of a {node.codec!r}"
            + (f" ({trust.dotted(node.cls)})" if node.cls else "")
            + f" is not understood here: {kind}: {why}{self._versions([package])}",
            rule=rule_of(error, "3.01" if codec_root(node.codec) in _OF_LAYER_3 else "4.01"),
        )

    def _complete(self, node: Node) -> None:
        """Everything is built: store the keys that waited for it, and have codecs check their objects."""
        for insert in self.delayed.taken():
            self._do(node, insert)
        if not self._unchecked:
            return
        unchecked, self._unchecked = self._unchecked, []
        with uses.looking_once():
            for step in ("claim", "check"):
                for node, codec, obj in unchecked:
                    self._do(node, getattr(codec, step), obj)

    def _do(self, node: Node, step: Callable[..., object], *values: Any) -> None:
        try:
            step(*values)
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self._not_understood(node, error) from error

    def own(self, value: Value) -> Any:
        """The object that `value` describes; a copy if it is an array that others may refer to. For code
        that checks its elements once and relies on them."""
        found = self(value)
        if isinstance(found, np.ndarray) and not is_array(found):
            raise ValueError(f"there is {kind_of(found)} where a plain NumPy array belongs")
        if isinstance(found, np.ndarray) and not (type(value) is Node and value.id is None):
            self.budget.charge(found.nbytes)
            return found.copy(order="K")
        return found

    def batch(self, codec: BatchCodec, name: Any) -> Sequence[Any]:
        """The objects of a batch, built once."""
        found = self._built_batches.get(name)
        if found is None:
            if str(name).rpartition("/")[2] != codec.name:
                raise ValueError(f"{name!r} is not a batch of {codec.name!r}")
            found = codec.decode_batch(self._batches[name], self)
            self._built_batches[name] = found
        return found
