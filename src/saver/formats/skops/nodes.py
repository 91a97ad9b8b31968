"""The nodes of a schema of skops as inert values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.errors import SaverError
from saver.formats.pickle.archive import Archive
from saver.formats.pickle.calls import Malformed
from saver.formats.pickle.machine import NAME_LIMIT, Machine
from saver.formats.skops.pieces import bytes_of, key_of, kind_of, npy, order_of
from saver.pickled import Call, Elements, Global, Inert, Pairs

_NEWEST = 2
"""The protocol of skops up to which Saver knows the nodes."""

_DEPTH = 200
_REMADE = (
    "sklearn.neighbors._kd_tree", "sklearn.neighbors._ball_tree", "sklearn.metrics._dist_metrics",
)  # fmt: skip
"""Modules whose pickles call a function for their compiled classes, which then set their state."""

_LITERALS = (str, int, float, bool, type(None))
_RANDOM = "numpy.random._pickle"


class Nodes:
    """One walk through a schema. What it names and calls is noted in `machine`."""

    def __init__(self, archive: Archive, machine: Machine) -> None:
        self._archive, self._machine = archive, machine
        self._memo = dict[int, Inert]()
        self._arrays = dict[str, NDArray[Any]]()
        self._depth = 0

    def root(self, schema: Any) -> Inert:
        """The value that the schema describes. Raises Malformed."""
        protocol = schema.get("protocol") if type(schema) is dict else None
        if type(protocol) is not int or not 0 <= protocol <= _NEWEST:
            raise Malformed(f"it has the protocol {str(protocol)[:40]}, and Saver reads up to {_NEWEST}")
        try:
            return self._value(schema)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, (Malformed, SaverError)):
                raise
            raise Malformed(f"a node lacks what it needs: {type(error).__name__}: {error!s:.200}") from None

    def _value(self, node: Any) -> Inert:
        if type(node) is not dict:
            raise Malformed("a node is not an object")
        ident = node.get("__id__")
        if type(ident) is int and ident in self._memo:
            return self._memo[ident]
        step = _STEPS.get(str(node.get("__loader__")))
        if step is None:
            raise Malformed(f"it has a node {str(node.get('__loader__'))[:40]!r}, which Saver does not know")
        self._depth += 1
        if self._depth > _DEPTH:
            raise Malformed(f"it is nested more than {_DEPTH} deep")
        found = step(self, node)
        self._depth -= 1
        if type(ident) is int:
            self._memo[ident] = found
        return found

    def _each(self, items: Any) -> list[Inert]:
        return [self._value(item) for item in kind_of(items, list)]

    def _named(self, node: dict[str, Any]) -> Global:
        module, name = node["__module__"], node["__class__"]
        if type(module) is not str or type(name) is not str or not 0 < len(module + name) <= NAME_LIMIT:
            raise Malformed("a node names no class")
        return Global(module, name)

    def _call(self, function: Global, *args: Any, **more: Any) -> Call:
        call = Call(function, args, **more)
        self._machine.names[function] = None
        self._machine.calls.append(call)
        return call

    def _or(self, node: dict[str, Any], plain: str, value: Inert, **more: Any) -> Inert:
        """A value, unless the class of the node is another one than that of Python."""
        named = self._named(node)
        return value if named == Global("builtins", plain) else self._call(named, made=True, **more)

    # Python's own

    def of_json(self, node: dict[str, Any]) -> Inert:
        found = json.loads(kind_of(node["content"], str))
        if type(found) not in _LITERALS:
            raise Malformed("a literal is not one")
        return found

    def of_dict(self, node: dict[str, Any]) -> Inert:
        content, kinds = kind_of(node["content"], dict), kind_of(node["key_types"]["content"], list)
        if len(kinds) != len(content):
            raise Malformed("the keys of a dict have no types")
        keys = [key_of(key, self._named(kind)) for key, kind in zip(content, kinds, strict=True)]
        items = list(zip(keys, map(self._value, content.values()), strict=True))
        return self._or(node, "dict", Pairs(items), pairs=items)

    def of_defaults(self, node: dict[str, Any]) -> Inert:
        content = node["content"]
        main, factory = self._value(content["main"]), self._value(content["default_factory"])
        return self._call(Global("collections", "defaultdict"), factory, pairs=kind_of(main, Pairs).items)

    def of_list(self, node: dict[str, Any]) -> Inert:
        items = self._each(node["content"])
        return self._or(node, "list", items, items=items)

    def of_tuple(self, node: dict[str, Any]) -> Inert:
        items = tuple(self._each(node["content"]))
        named = self._named(node)
        return items if named == Global("builtins", "tuple") else self._call(named, *items, made=True)

    def of_set(self, node: dict[str, Any]) -> Inert:
        items, named = self._each(node["content"]), self._named(node)
        frozen = named == Global("builtins", "frozenset")
        if frozen or named == Global("builtins", "set"):
            return Elements(items, frozen)
        return self._call(named, made=True, items=items)

    def of_octets(self, node: dict[str, Any]) -> Inert:
        return self._archive.read(kind_of(node["file"], str))

    def of_changing(self, node: dict[str, Any]) -> Inert:
        return bytearray(self.of_octets(node))

    def of_slice(self, node: dict[str, Any]) -> Inert:
        ends = [node["content"][name] for name in ("start", "stop", "step")]
        if not all(type(end) in (int, type(None)) for end in ends):
            raise Malformed("a slice does not have three numbers")
        return self._call(Global("builtins", "slice"), *ends)

    def of_name(self, node: dict[str, Any]) -> Inert:
        named = self._named(node)
        self._machine.names[named] = None
        return named

    def of_partial(self, node: dict[str, Any]) -> Inert:
        content = node["content"]
        state = [self._value(content[name]) for name in ("func", "args", "kwds", "namespace")]
        return self._call(Global("functools", "partial"), state=tuple(state), has_state=True)

    def of_method(self, node: dict[str, Any]) -> Inert:
        named = self._named(node)
        return self._call(Global(named.module, f"{named.name}.{kind_of(node['content']['func'], str)[:80]}"))

    def of_operator(self, node: dict[str, Any]) -> Inert:
        return self._call(
            Global("operator", self._named(node).name), *kind_of(self._value(node["attrs"]), tuple)
        )

    def of_constructed(self, node: dict[str, Any]) -> Inert:
        return self._call(self._named(node), *kind_of(self._value(node["content"]), tuple))

    def of_object(self, node: dict[str, Any]) -> Inert:
        content = node.get("content")
        state = None if content is None else self._value(content)
        named = self._named(node)
        if named.module in _REMADE and type(state) is tuple:
            return self._call(Global(named.module, "newObj"), named, state=state, has_state=True)
        return self._call(named, made=True, state=state, has_state=state is not None)

    # arrays

    def of_array(self, node: dict[str, Any]) -> Inert:
        if node["type"] == "json":
            return self._of_objects(node)
        if node["type"] != "numpy":
            raise Malformed(f"it has an array of the type {str(node['type'])[:40]!r}")
        found, named = self._array(node["file"]), self._named(node)
        if named == Global("numpy", "ndarray"):
            return found
        if found.shape == () and named.module == "numpy" and type(found[()]).__name__ == named.name:
            return found[()]
        state = (1, found.shape, found.dtype, False, found.reshape(-1).view(np.uint8))
        return self._call(
            Global("numpy._core.multiarray", "_reconstruct"), named, state=state, has_state=True
        )

    def _of_objects(self, node: dict[str, Any]) -> Inert:
        shape, items = self._value(node["shape"]), kind_of(node["content"], list)
        axes = kind_of(shape, tuple)
        found = self._each(items)
        for axis in axes[1:]:
            if any(type(row) is not list or len(row) != axis for row in found):
                raise Malformed("an array of objects has other rows than its shape says")
            found = [item for row in found for item in row]
        state = (1, axes, np.dtype(object), False, found)
        return self._call(
            Global("numpy._core.multiarray", "_reconstruct"), Global("numpy", "ndarray"), state=state,
            has_state=True,
        )  # fmt: skip

    def _array(self, name: Any) -> NDArray[Any]:
        """An array of the archive; the same one for the same name."""
        found = self._arrays.get(kind_of(name, str))
        if found is None:
            found = self._arrays[name] = npy(self._archive.checked(name), name)
        return found

    def of_dtype(self, node: dict[str, Any]) -> Inert:
        dtype = kind_of(self._value(node["content"]), np.ndarray).dtype
        if dtype.names is not None or dtype.hasobject or dtype.kind in "mMV":
            raise Malformed(f"it has the dtype {dtype}, which Saver does not read there")
        return self._call(Global("numpy", "dtype"), dtype.str[1:], state=order_of(dtype), has_state=True)

    def of_masked(self, node: dict[str, Any]) -> Inert:
        data, mask = (self._value(node["content"][name]) for name in ("data", "mask"))
        if type(data) is not np.ndarray or type(mask) is not np.ndarray or data.shape != mask.shape:
            raise Malformed("a masked array has no mask of its shape")
        state = (1, data.shape, data.dtype, False, bytes_of(data), bytes_of(mask), None)
        return self._call(Global("numpy.ma.core", "_mareconstruct"), state=state, has_state=True)

    def of_sparse(self, node: dict[str, Any]) -> Inert:
        with_ending = kind_of(node["file"], str)
        inner = self._archive.inner(with_ending)
        parts = {name.removesuffix(".npy"): npy(inner.checked(name), name) for name in inner.names}
        state = [("_shape", tuple(int(axis) for axis in parts.pop("shape")))]
        kind = bytes(parts.pop("format")[()]).decode("ascii")
        ending = "array" if "_is_array" in parts and bool(parts.pop("_is_array")) else "matrix"
        if "row" in parts and "col" in parts:
            parts["coords"] = (parts.pop("row"), parts.pop("col"))  # type: ignore[assignment]
        state += list(parts.items())  # type: ignore[arg-type]
        function = Global("scipy.sparse", f"{kind}_{ending}")
        return self._call(function, made=True, state=Pairs(list(state)), has_state=True)

    # random generators

    def of_state(self, node: dict[str, Any]) -> Inert:
        content = kind_of(self._value(node["content"]), Pairs)
        kind = dict(content.items).get("bit_generator")
        return self._call(Global(_RANDOM, "__randomstate_ctor"), kind, state=content, has_state=True)

    def of_generator(self, node: dict[str, Any]) -> Inert:
        content = kind_of(self._value(node["content"]["bit_generator"]), Pairs)
        kind = dict(content.items).get("bit_generator")
        bits = self._call(Global(_RANDOM, "__bit_generator_ctor"), kind, state=content, has_state=True)
        return self._call(Global(_RANDOM, "__generator_ctor"), bits)

    # scikit-learn

    def of_tree(self, node: dict[str, Any]) -> Inert:
        args = kind_of(self._value(node["__reduce__"]["args"]), tuple)
        state = self._value(node["content"])
        return self._call(Global("sklearn.tree._tree", "Tree"), *args, state=state, has_state=True)

    def of_loss(self, node: dict[str, Any]) -> Inert:
        args = kind_of(self._value(node["__reduce__"]["args"]), tuple)
        return self._call(self._named(node), *args)


_STEPS: dict[str, Callable[[Nodes, dict[str, Any]], Inert]] = {
    "JsonNode": Nodes.of_json,
    "DictNode": Nodes.of_dict,
    "DefaultDictNode": Nodes.of_defaults,
    "ListNode": Nodes.of_list,
    "TupleNode": Nodes.of_tuple,
    "SetNode": Nodes.of_set,
    "BytesNode": Nodes.of_octets,
    "BytearrayNode": Nodes.of_changing,
    "SliceNode": Nodes.of_slice,
    "FunctionNode": Nodes.of_name,
    "TypeNode": Nodes.of_name,
    "PartialNode": Nodes.of_partial,
    "MethodNode": Nodes.of_method,
    "OperatorFuncNode": Nodes.of_operator,
    "ConstructorFromReduceNode": Nodes.of_constructed,
    "ObjectNode": Nodes.of_object,
    "NdArrayNode": Nodes.of_array,
    "DTypeNode": Nodes.of_dtype,
    "MaskedArrayNode": Nodes.of_masked,
    "SparseMatrixNode": Nodes.of_sparse,
    "RandomStateNode": Nodes.of_state,
    "RandomGeneratorNode": Nodes.of_generator,
    "TreeNode": Nodes.of_tree,
    "LossNode": Nodes.of_loss,
}
