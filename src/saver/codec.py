"""Codecs, and the only two walks over objects: `Encoder` and `Decoder`.

A `Codec` turns one kind of object into a node's state and back. The walks do what all codecs share:
they find the codec, keep shared references and cycles, bound the depth, name the path in errors, and
collect tensors. See docs/codecs.md for how to add one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from math import isfinite
from types import ModuleType
from typing import Any, ClassVar, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from saver import registry, trust
from saver.errors import CannotSave, Damaged, SaverError, Unsupported
from saver.tree import (
    EXACT_INTEGER,
    MAX_OBJECT_DEPTH,
    NUMPY_DTYPE,
    TENSOR_DTYPE,
    Node,
    Ref,
    Tensor,
    TensorData,
    Value,
    reserved,
)

INLINE_BYTES = 512
"""Values up to this size stand in the manifest; a tensor of its own would cost more than that."""


class Codec(ABC):
    """Turns one kind of object into data and back.

    A codec lives in a module of the folder `codecs` (or of an entry point) named like the root of the
    package whose classes it knows; the module lists its instances in `CODECS`.
    """

    name: ClassVar[str]
    """`root.kind`, as it stands in files: `numpy.array`."""

    version: ClassVar[int] = 1
    """Of the state's form. `decode` is given every version up to this one; newer ones are refused."""

    types: tuple[type, ...] = ()
    """The classes whose direct instances this codec takes."""

    names: frozenset[str] = frozenset()
    """More such classes, as `module:qualname`, so that their module need not be imported to know them."""

    shared: ClassVar[bool] = True
    """Whether identity matters: an object met twice comes back as one. False for plain leaves."""

    early: ClassVar[bool] = False
    """Whether `decode` announces the object with `Decoder.keep` before it decodes what lies within, so
    that the object can take part in a cycle."""

    def accepts(self, cls: type) -> bool:
        """Whether this codec takes direct instances of `cls`."""
        return cls in self.types or f"{cls.__module__}:{cls.__qualname__}" in self.names

    def class_of(self, obj: Any) -> str | None:
        """The name of the class that `decode` will need resolved; None when it needs none."""
        return None

    @abstractmethod
    def encode(self, obj: Any, encoder: Encoder) -> Value:
        """The state of `obj`. Raise CannotSave, through `encoder.refuse`, for what has no data form."""

    @abstractmethod
    def decode(self, node: Node, decoder: Decoder) -> Any:
        """The object again. `node.state` may come from an enemy: check what native code will trust.

        Any TypeError, ValueError or the like from here is reported as Damaged, with the path.
        """


class BatchCodec(Codec):
    """A codec for small things of which there are many, whose arrays are stored together.

    Instead of a state of its own, each object is an index into a batch that the whole part shares.
    """

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return list(encoder.batch(self, obj))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name, index = node.state
        return decoder.batch(self, name)[_index(index)]

    @abstractmethod
    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        """The state of all `objects` of a part."""

    @abstractmethod
    def decode_batch(self, state: Any, decoder: Decoder) -> Sequence[Any]:
        """The objects of a batch, in their order."""


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not an index")
    return value


class Tensors(Protocol):
    """Where a decoder finds the bytes of tensors: a pack, or anything like it."""

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the bytes, flat. KeyError when there is none."""


def encodable(text: str) -> bool:
    """Whether UTF-8 can say it: lone surrogates it cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_by_type: dict[type, Codec] = {}
_by_name: dict[str, Codec] = {}


def _module_root(cls: type) -> str:
    root = cls.__module__.partition(".")[0]
    return root if registry.known("codecs", root) else ""


def _load(module: ModuleType) -> Iterable[Codec]:
    codecs: tuple[Codec, ...] = module.CODECS
    for codec in codecs:
        _by_name[codec.name] = codec
    return codecs


def codec_for(cls: type) -> Codec | None:
    """The codec that takes direct instances of `cls`: the class's own family first, then its bases'."""
    found = _by_type.get(cls)
    if found is None:
        roots = dict.fromkeys((*map(_module_root, cls.__mro__), "stdlib"))
        for root in filter(None, roots):
            for codec in _load(registry.find("codecs", root)):
                if codec.accepts(cls):
                    _by_type[cls] = codec
                    return codec
    return found


def codec_named(name: str) -> Codec:
    """The codec called `name` in a file; Unsupported when there is none."""
    codec = _by_name.get(name)
    if codec is None:
        _load(registry.find("codecs", codec_root(name)))
        codec = _by_name.get(name)
    if codec is None:
        raise Unsupported(f"this Saver has no codec {name[:80]!r}; install a newer Saver to open the file")
    return codec


def codec_root(name: str) -> str:
    """The codec module that a codec's name belongs to; `list` is short for `builtins.list`."""
    root, dot, _ = name.partition(".")
    return root if dot else "builtins"


def forget_codecs() -> None:
    """Look every codec up anew; `@saver.register` changes what is accepted."""
    _by_type.clear()


class Encoder:
    """One walk from objects to trees. Call it with each part, in order; the parts may share objects.

    After the walk `tensors` holds what belongs in the pack, `batches` the shared state of batch codecs,
    `seeds` the random states that estimators were given, by path.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, TensorData] = {}
        self.batches: dict[str, Value] = {}
        self.seeds: dict[str, int] = {}
        self._nodes: dict[int, Node] = {}
        self._alive: list[Any] = []
        self._open: dict[int, Codec] = {}
        self._ids = 0
        self._path: list[str | int] = []
        self._part = ""
        self._batch_items: dict[str, tuple[BatchCodec, list[Any]]] = {}

    def part(self, name: str, obj: Any) -> Value:
        """The tree of one part."""
        self._part = name
        try:
            value = self(obj)
            self._close_batches()
        except RecursionError:
            raise CannotSave(self._too_deep()) from None
        finally:
            self._path.clear()
            self._open.clear()
        return value

    def __call__(self, obj: Any, *steps: str | int) -> Value:
        """The tree of `obj`, which lies at `steps` below the object being encoded."""
        return self._value(obj, steps, False)

    def slot(self, obj: Any, *steps: str | int) -> Value:
        """Like calling, for a place that `Decoder.slot` can fill after the object around it exists."""
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
                if steps and (steps[-1] == "random_state" or steps[-1] == "seed"):
                    self.seeds[self._where(steps)] = obj
                return obj  # type: ignore[no-any-return]
        elif kind is float and isfinite(obj):
            return obj  # type: ignore[no-any-return]
        known = self._nodes.get(id(obj))
        if known is not None:
            return self._again(known, obj, steps, fillable)
        return self._node(obj, kind, steps)

    def _node(self, obj: Any, kind: type, steps: tuple[str | int, ...]) -> Node:
        codec = codec_for(kind)
        self._path.extend(steps)
        if codec is None:
            self.refuse(_no_data_form(obj))
        if len(self._open) > MAX_OBJECT_DEPTH:
            raise CannotSave(self._too_deep())
        key = id(obj)
        node = Node(codec.name, version=codec.version)
        self._open[key] = codec
        if codec.shared:
            self._nodes[key] = node
            self._alive.append(obj)
        try:
            node.cls = codec.class_of(obj)
            node.state = codec.encode(obj, self)
        except CannotSave as error:
            if not str(error).startswith("$"):
                raise CannotSave(f"{self.where()}: {error}") from error.__cause__
            raise
        del self._open[key]
        if steps:
            del self._path[-len(steps) :]
        return node

    def _again(self, node: Node, obj: Any, steps: tuple[str | int, ...], fillable: bool) -> Ref:
        codec = self._open.get(id(obj))
        if codec is not None and not codec.early and not fillable:
            self._path.extend(steps)
            self.refuse(
                f"a cycle leads through a {type(obj).__name__}, which cannot be built before what lies "
                "within it; break the cycle, or put a list or dict in between"
            )
        if node.id is None:
            self._ids += 1
            node.id = self._ids
        return Ref(node.id)

    def has_met(self, obj: Any) -> bool:
        """Whether this very object was encoded as a node of its own."""
        return id(obj) in self._nodes

    def fields(self, mapping: Mapping[str, Any]) -> dict[str, Value]:
        """The attributes of an object, each at a step of its name."""
        for key in mapping:
            if type(key) is not str or reserved(key):
                self.refuse(f"an attribute is called {key!r}; attributes need plain names")
        return {key: self._value(item, (key,), True) for key, item in mapping.items()}

    def tensor(self, data: NDArray[Any], *steps: str | int) -> Tensor:
        """Add a NumPy array of a dtype that safetensors has; its bytes are taken when the pack is written."""
        dtype = TENSOR_DTYPE[data.dtype.kind, data.dtype.itemsize]
        return self.raw_tensor(TensorData(dtype, data.shape, data), *steps)

    def raw_tensor(self, data: TensorData, *steps: str | int) -> Tensor:
        """Add a tensor under the name of its path: `model/layers.0.weight`."""
        path = ".".join(map(str, (*self._path, *steps)))[:200]
        name = first = f"{self._part}/{path}" if path else self._part
        again = 1
        while name in self.tensors:
            again += 1
            name = f"{first}#{again}"
        self.tensors[name] = data
        return Tensor(name)

    def batch(self, codec: BatchCodec, obj: Any) -> tuple[str, int]:
        """Put `obj` into the part's batch of `codec`: the batch's name, and its index there."""
        name = f"{self._part}/{codec.name}"
        items = self._batch_items.setdefault(name, (codec, []))[1]
        items.append(obj)
        return name, len(items) - 1

    def _close_batches(self) -> None:
        while self._batch_items:
            name, (codec, items) = self._batch_items.popitem()
            self._path[:] = [codec.name]
            self.batches[name] = codec.encode_batch(items, self)

    def where(self) -> str:
        """The path of the object being encoded, as errors show it: `$.model.callbacks[2]`."""
        return self._where(())

    def _where(self, steps: tuple[str | int, ...]) -> str:
        shown = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in (*self._path, *steps))
        return "".join(("$.", self._part, *shown))

    def refuse(self, why: str) -> NoReturn:
        """Raise CannotSave for the object being encoded."""
        raise CannotSave(f"{self.where()}: {why}")

    def _too_deep(self) -> str:
        path = self.where()
        return (
            f"{path[:60]}…: objects lie more than {MAX_OBJECT_DEPTH} levels deep within each other; "
            "flatten the structure (a chain of objects can become a list)"
        )


def _no_data_form(obj: Any) -> str:
    kind = type(obj)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__ == "builtins":
        return f"a {kind.__name__} has no data form; register a codec (docs/codecs.md) or leave it out"
    return (
        f"{name} has no data form; if its attributes say everything, `saver.register({kind.__name__})`; "
        "or write a codec (docs/codecs.md), or leave it out"
    )


class _Pending:
    """Stands for an object that is being built, until it can be put where it is wanted."""

    __slots__ = ("id",)

    def __init__(self, ident: int) -> None:
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
        self._targets: dict[int, Node] = {}
        self._codecs: dict[str, Codec] = {}
        self._classes: dict[str, Any] = {}
        self._built: dict[int, Any] = {}
        self._open: set[int] = set()
        self._waiting: dict[int, list[tuple[Any, Any]]] = {}
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

    def cls(self, node: Node) -> Any:
        """The class or function that `node` asks for, audited and resolved."""
        if node.cls is None:
            raise ValueError(f"a node of {node.codec!r} needs a class")
        return self._classes[node.cls]

    def _again(self, ident: int) -> Any:
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
        if ident is not None:
            if ident in self._built:
                return self._built[ident]
            if ident in self._open:
                raise Damaged(f"{self._where}: node {ident} contains itself")
            self._open.add(ident)
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


def check(found: Iterable[Node | Tensor | Ref], names: Iterable[str], where: str) -> list[Node]:
    """The nodes among `found`, once every codec, tensor and node they need is known to be there.

    Builds and imports nothing.
    """
    nodes: list[Node] = []
    codecs: set[str] = set()
    tensors: set[str] = set()
    refs: set[int] = set()
    for item in found:
        if type(item) is Node:
            nodes.append(item)
            codecs.add(item.codec)
        elif type(item) is Tensor:
            tensors.add(item.name)
        elif type(item) is Ref:
            refs.add(item.id)
    for codec in sorted(codecs):
        if not registry.known("codecs", codec_root(codec)):
            raise Unsupported(
                f"{where} needs the codec {codec[:80]!r}, which is not installed; install the package "
                "that provides it, or a newer Saver"
            )
    for name in sorted(tensors.difference(names)):
        raise Damaged(f"{where} refers to the tensor {name[:80]!r}, which is not in the pack")
    for ident in sorted(refs.difference(node.id for node in nodes if node.id is not None)):
        raise Damaged(f"{where} refers to node {ident}, which is not there")
    return nodes
