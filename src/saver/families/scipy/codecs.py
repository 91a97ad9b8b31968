"""SciPy: sparse matrices, distributions, interpolators, search trees, results of optimisers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np

from saver.codec import Codec, Decoder, Encoder, added, is_array, private
from saver.families.python.items import encode_items, fill_items, refused_names
from saver.families.scipy import grids, objects, splines
from saver.families.scipy.distributions import DistributionCodec, FrozenCodec
from saver.families.scipy.interpolation import Interp1dCodec, PolynomialCodec, SplineCodec
from saver.families.scipy.sparse import SparseCodec
from saver.tree import Node, Value


class _NamedCodec(Codec):
    """Takes classes of one package, listed by name. The package is imported only when one of them is met."""

    package: str
    qualnames: tuple[str, ...]
    fields: tuple[str, ...] = ()
    """The public attributes of an instance."""

    def accepts(self, cls: type) -> bool:
        return cls.__module__.startswith(f"scipy.{self.package}.") and cls.__qualname__ in self.qualnames

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *self.fields, *private(obj))


def _array(value: Any, dtype: type, ndim: int) -> Any:
    if not is_array(value) or value.dtype != dtype or value.ndim != ndim:
        raise ValueError(f"the content is not an array of {dtype.__name__} with {ndim} axes")
    return value


class OptimizeResultCodec(_NamedCodec):
    """`OptimizeResult` and `RootResults`: dicts that show their items as attributes."""

    name = "scipy.OptimizeResult"
    package = "optimize"
    qualnames = ("OptimizeResult", "RootResults")
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        for why in refused_names(type(obj), obj):
            encoder.refuse(f"{why}; rename the item")
        return [type(obj).__name__, encode_items(obj, encoder)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy import optimize

        kind, items = node.state
        if kind not in self.qualnames:
            raise ValueError(f"{kind!r} is not the class of a result")
        found = dict.__new__(getattr(optimize, kind))
        decoder.keep(node, found)
        fill_items(items, decoder, found)
        for why in refused_names(type(found), found):
            raise ValueError(why)
        return found


class BoundsCodec(_NamedCodec):
    """Bounds of an optimiser's variables."""

    name = "scipy.Bounds"
    package = "optimize"
    qualnames = ("Bounds",)
    fields = ("keep_feasible", "lb", "ub")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(getattr(obj, name), name) for name in ("lb", "ub", "keep_feasible")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy.optimize import Bounds

        lower, upper, kept = map(decoder, node.state)
        if not all(is_array(item) for item in (lower, upper, kept)):
            raise ValueError("bounds must be arrays")
        return Bounds(lower, upper, kept)


class InverseHessianCodec(_NamedCodec):
    """The `hess_inv` that `minimize(method="L-BFGS-B")` returns."""

    name = "scipy.LbfgsInvHessProduct"
    package = "optimize"
    qualnames = ("LbfgsInvHessProduct",)
    fields = ("dtype", "n_corrs", "ndim", "rho", "shape", "sk", "yk")  # ndim from 1.18 on

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.sk, "sk"), encoder(obj.yk, "yk")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy.optimize import LbfgsInvHessProduct

        steps, changes = (_array(decoder(item), np.float64, 2) for item in node.state)
        decoder.budget.charge(steps.nbytes + changes.nbytes)
        return LbfgsInvHessProduct(steps, changes)


_DEEPEST = 20_000
"""Levels for which SciPy's recursive builder has enough stack in 8 MiB, by a wide margin."""


def _is_shallow(data: Any) -> bool:
    """Whether halving the box around the points ends in time: 2,100 halvings of an axis exhaust a float64."""
    return bool(min(len(data), 2100 * data.shape[1]) <= _DEEPEST)


class SearchTreeCodec(_NamedCodec):
    """`KDTree` and `cKDTree`, by their points and the options with which the same tree is built again."""

    name = "scipy.KDTree"
    package = "spatial"
    qualnames = ("KDTree", "cKDTree")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        box = obj.boxsize
        settings: dict[str, Any] = {"leafsize": int(obj.leafsize), "boxsize": box}
        for balanced, compact in product((True, False), repeat=2):
            if not (balanced or _is_shallow(np.asarray(obj.data))):
                encoder.refuse(
                    "an unbalanced search tree of so many axes has no data form; build a balanced one"
                )
            tree = type(obj)(obj.data, **settings, balanced_tree=balanced, compact_nodes=compact)
            if _same_tree(tree, obj):
                break
        else:
            encoder.refuse("SciPy does not build the same search tree again; save its points instead")
        return {
            "kind": type(obj).__name__,
            "data": encoder(np.asarray(obj.data), "data"),
            "leafsize": int(obj.leafsize),
            "boxsize": None if box is None else encoder(np.asarray(box), "boxsize"),
            "balanced_tree": balanced,
            "compact_nodes": compact,
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy import spatial

        state = node.state
        if state["kind"] not in self.qualnames or type(state["leafsize"]) is not int:
            raise ValueError("the content is not a search tree")
        data, box = _array(decoder(state["data"]), np.float64, 2), decoder(state["boxsize"])
        decoder.budget.charge(2 * data.nbytes, data.size * len(data).bit_length() // 16)
        if not (state["balanced_tree"] is True or _is_shallow(data)):
            raise ValueError("the tree may become too deep to build")
        return getattr(spatial, state["kind"])(
            data,
            leafsize=state["leafsize"],
            boxsize=None if box is None else _array(box, np.float64, 1),
            balanced_tree=state["balanced_tree"] is True,
            compact_nodes=state["compact_nodes"] is True,
        )


_NODE = np.dtype([
    ("axis", "i8"), ("children", "i8"), ("split", "f8"), ("start", "i8"), ("end", "i8"),
    ("addresses", "V16"), ("less", "i8"), ("greater", "i8"),
])  # fmt: skip
"""A node of the tree in SciPy's memory layout; all fields but the addresses describe the tree."""


def _same_tree(one: Any, other: Any) -> bool:
    if not np.array_equal(one.indices, other.indices):
        return False
    nodes = [np.frombuffer(tree.__getstate__()[0], _NODE) for tree in (one, other)]
    return all(
        np.array_equal(nodes[0][name], nodes[1][name]) for name in _NODE.names or () if name != "addresses"
    )


class RotationCodec(_NamedCodec):
    """Rotations as quaternions, bit by bit."""

    name = "scipy.Rotation"
    package = "spatial.transform"
    qualnames = ("Rotation",)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(obj.as_quat())

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy.spatial.transform import Rotation

        quaternions = decoder(node.state)
        if not is_array(quaternions) or quaternions.dtype != np.float64:
            raise ValueError("the content is not an array of quaternions")
        decoder.budget.charge(2 * quaternions.nbytes)
        return Rotation(quaternions, normalize=False)


_KDE_FIELDS = (
    "dataset", "_weights", "_neff", "factor", "_data_covariance", "_data_cho_cov", "covariance", "cho_cov",
    "log_det",
)  # fmt: skip
_KDE_FACTORS = ("scotts_factor", "silverman_factor")


class KernelDensityCodec(_NamedCodec):
    """`gaussian_kde`, with its bandwidth by rule or by number."""

    name = "scipy.gaussian_kde"
    package = "stats"
    qualnames = ("gaussian_kde",)
    fields = ("cho_cov", "covariance", "covariance_factor", "d", "dataset", "factor", "log_det", "n")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        rule = getattr(obj.covariance_factor, "__name__", "")
        method = getattr(obj, "_bw_method", None)
        if rule not in _KDE_FACTORS and method != "use constant":
            encoder.refuse("a bandwidth computed by a function has no data form; pass its number instead")
        state = {name: encoder(getattr(obj, name), name) for name in _KDE_FIELDS if hasattr(obj, name)}
        return {**state, "rule": rule if rule in _KDE_FACTORS else None}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy.stats import gaussian_kde

        state = node.state
        fields = {name: decoder(state[name]) for name in _KDE_FIELDS if name in state}
        axes, count = _array(fields["dataset"], np.float64, 2).shape
        _sized(fields["_weights"], (count,))
        for name in ("_data_covariance", "_data_cho_cov", "covariance", "cho_cov"):
            _sized(fields[name], (axes, axes))
        for name in ("_neff", "factor", "log_det"):
            if not isinstance(fields.get(name, 1.0), (int, float)):
                raise ValueError(f"{name} is not a number")
        found: Any = object.__new__(gaussian_kde)
        vars(found).update(fields, d=axes, n=count)
        if state["rule"] == "silverman_factor":
            found.covariance_factor = found.silverman_factor
        elif state["rule"] is None:
            factor = fields["factor"]
            found._bw_method = "use constant"
            found.covariance_factor = lambda: factor
        return found


def _sized(value: Any, shape: tuple[int, ...]) -> None:
    if _array(value, np.float64, len(shape)).shape != shape:
        raise ValueError(f"an array has the shape {value.shape} where {shape} is needed")


CODECS: tuple[Codec, ...] = (
    SparseCodec(), DistributionCodec(), FrozenCodec(), SplineCodec(), PolynomialCodec(), Interp1dCodec(),
    OptimizeResultCodec(), BoundsCodec(), InverseHessianCodec(), SearchTreeCodec(), RotationCodec(),
    KernelDensityCodec(), *splines.CODECS, *grids.CODECS, *objects.CODECS,
)  # fmt: skip
