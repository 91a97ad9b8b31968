"""The walk from trees to objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver import trust
from saver.codec.contract import BatchCodec, Codec, Tensors
from saver.codec.lookup import codec_named
from saver.errors import Damaged, SaverError, Unsupported
from saver.tree import MAX_OBJECT_DEPTH, NUMPY_DTYPE, Node, Ref, Tensor, Value

MAX_DECODED_DEPTH = 2 * MAX_OBJECT_DEPTH
"""Twice what is ever written: a reference may lead deep into a part that has not been decoded."""


class _Pending:
    """Stands for an object that is being built, until it can be put where it is wanted."""

    __slots__ = ("id",)

    def __init__(self, ident: int | str) -> None:
        self.id = ident


class Decoder:
    """One walk from trees, parsed and audited, to objects.

    `nodes` are all the nodes of the trees; `batches` the shared state of batch codecs.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        batches: Mapping[str, Value],
        tensors: Tensors,
        where: str = "$",
    ) -> None:
        self._where = where
        self._targets: dict[int | str, Node] = {}
        self._codecs: dict[str, Codec] = {}
        self._classes: dict[str, Any] = {}
        self._built: dict[int | str, Any] = {}
        self._standing: dict[int, Any] = {}
        self._depth = 0
        self._open: set[int | str] = set()
        self._waiting: dict[int | str, list[tuple[Any, Any]]] = {}
        self._batches = batches
        self._built_batches: dict[str, Sequence[Any]] = {}
        self._tensors = tensors
        for node in nodes:
            self._admit(node)

    def _admit(self, node: Node) -> None:
        """Look up all that a node asks for, so that nothing is built when something is amiss."""
        codec = self._codecs.get(node.codec)
        if codec is None:
            codec = self._codecs[node.codec] = codec_named(node.codec)
        if not 1 <= node.version <= codec.version:
            raise Unsupported(
                f"{self._where}: version {node.version} of {node.codec!r} is newer than this Saver "
                f"(which reads up to {codec.version}); install a newer one"
            )
        if node.cls is not None and type(codec).class_of is Codec.class_of:
            raise Damaged(
                f"{self._where}: a {node.codec!r} asks for {trust.dotted(node.cls)}, and needs no class"
            )
        if node.cls is not None and node.cls not in self._classes:
            self._classes[node.cls] = trust.resolve(node.cls)
        if node.id is not None:
            if node.id in self._targets:
                raise Damaged(f"{self._where}: two nodes have the id {node.id}")
            self._targets[node.id] = node

    def __call__(self, value: Value) -> Any:
        """The object that `value` describes."""
        kind = type(value)
        if kind is Node:
            return self._build(value)  # type: ignore[arg-type]
        if kind is Ref:
            found = self._again(value.id)  # type: ignore[union-attr, arg-type]
            if type(found) is _Pending:
                raise Damaged(f"{self._where}: node {found.id} contains itself where it cannot")
            return found
        if kind is list or kind is dict or kind is Tensor:
            raise Damaged(f"{self._where}: a {kind.__name__} stands where an object should")
        return value

    def slot(self, value: Value, container: Any, key: Any) -> Any:
        """The object for `container[key]`; when a cycle delays it, None, and it is put there later."""
        if type(value) is not Ref:
            return self(value)
        found = self._again(value.id)
        if type(found) is _Pending:
            self._waiting.setdefault(found.id, []).append((container, key))
            return None
        return found

    def fill(self, state: Any, target: MutableMapping[str, Any]) -> None:
        """Decode the attributes that `Encoder.fields` encoded into `target`, an object's `__dict__`."""
        if type(state) is not dict:
            raise ValueError("the attributes of an object are not a JSON object")
        for key, value in state.items():
            kind = type(value)
            if kind is Node:
                target[key] = self._build(value)
            elif kind is Ref:
                target[key] = self.slot(value, target, key)
            else:
                target[key] = self(value)

    def keep(self, node: Node, obj: Any) -> None:
        """Announce the object of `node` before what lies within it is decoded."""
        if node.id is not None:
            self._built[node.id] = obj

    def stand_in(self, node: Node, obj: Any) -> None:
        """Let `obj`, which is there already, be the object of `node`, wherever that is met."""
        self._standing[id(node)] = obj
        self.keep(node, obj)

    def cls(self, node: Node) -> Any:
        """The class or function that `node` asks for, audited and resolved."""
        if node.cls is None:
            raise ValueError(f"a node of {node.codec!r} needs a class")
        return self._classes[node.cls]

    def _again(self, ident: int | str) -> Any:
        if ident in self._built:
            return self._built[ident]
        node = self._targets.get(ident)
        if node is None:
            raise Damaged(f"{self._where}: a reference to node {ident}, which is not there")
        if ident in self._open:
            return _Pending(ident)
        return self._build(node)

    def _build(self, node: Node) -> Any:
        ident = node.id
        if id(node) in self._standing:
            return self._standing[id(node)]
        if ident is not None:
            if ident in self._built:
                return self._built[ident]
            if ident in self._open:
                raise Damaged(f"{self._where}: node {ident} contains itself")
            self._open.add(ident)
        self._depth += 1
        if self._depth > MAX_DECODED_DEPTH:
            raise Damaged(f"{self._where}: objects lie too deep within each other")
        try:
            obj = self._codecs[node.codec].decode(node, self)
        except (SaverError, MemoryError, KeyboardInterrupt):
            raise
        except RecursionError:
            raise Damaged(f"{self._where}: objects lie too deep within each other") from None
        except Exception as error:
            raise Damaged(
                f"{self._where}: the state of a {node.codec!r}"
                + (f" ({trust.dotted(node.cls)})" if node.cls else "")
                + f" is not what was saved: {type(error).__name__}: {error}"
            ) from error
        self._depth -= 1
        if ident is not None:
            self._open.discard(ident)
            self._built[ident] = obj
            for container, key in self._waiting.pop(ident, ()):
                container[key] = obj
        return obj

    def tensor(self, ref: Any) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the bytes, flat, of a `Tensor`."""
        if type(ref) is not Tensor:
            raise ValueError("a tensor is missing")
        try:
            return self._tensors.tensor(ref.name)
        except KeyError:
            raise Damaged(f"{self._where}: the tensor {ref.name!r} is not in the pack") from None

    def array(self, ref: Any, dtype: str | None = None, ndim: int | None = None) -> NDArray[Any]:
        """A `Tensor` as a NumPy array; ValueError unless it has the safetensors dtype and ndim asked for."""
        found, shape, data = self.tensor(ref)
        if (dtype is not None and found != dtype) or (ndim is not None and len(shape) != ndim):
            raise ValueError(f"{ref.name!r} is {found}{list(shape)}, not {dtype} with {ndim} axes")
        array: NDArray[Any] = data.view(NUMPY_DTYPE[found]).reshape(shape)
        return array

    def batch(self, codec: BatchCodec, name: Any) -> Sequence[Any]:
        """The objects of a batch, built once."""
        found = self._built_batches.get(name)
        if found is None:
            if str(name).rpartition("/")[2] != codec.name:
                raise ValueError(f"{name!r} is no batch of {codec.name!r}")
            found = codec.decode_batch(self._batches[name], self)
            self._built_batches[name] = found
        return found
