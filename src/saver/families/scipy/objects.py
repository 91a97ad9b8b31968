"""Objects of SciPy that are Python's: their attributes, checked where compiled code relies on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from saver.codec import Codec, Decoder, Encoder, added, attributes_of, is_array, private
from saver.errors import kind_of, with_article
from saver.families.scipy.checks import (
    check_delaunay,
    check_grid,
    check_random_table,
    check_rbf,
    check_surface,
    check_triangulated,
    nothing,
)
from saver.tree import Node, Value

_INTERPOLATE, _STATS = "scipy.interpolate", "scipy.stats._multivariate"


class Form(NamedTuple):
    """What is known of a class.

    `check` raises ValueError for attributes that do not fit together. `copied` of them, on whose elements
    compiled code relies, become the object's own before that. `again` are those that the library sets anew.
    With `example`, the constructor ties the object to a distribution of its own: it is called with these
    arguments first.
    """

    module: str
    check: Callable[[Mapping[str, Any]], None] = nothing
    copied: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    example: tuple[Any, ...] = ()


_SURFACE = Form(_INTERPOLATE, check_surface)
_FROZEN = (
    "multivariate_normal", "matrix_normal", "dirichlet", "dirichlet_multinomial", "wishart", "invwishart",
    "special_ortho_group", "ortho_group", "unitary_group", "multivariate_t",
    "uniform_direction", "vonmises_fisher", "normal_inverse_gamma", "matrix_t", "random_correlation",
)  # fmt: skip

FORMS: dict[str, Form] = {
    "RegularGridInterpolator": Form(_INTERPOLATE, check_grid, again=("_asarray",)),
    "RBFInterpolator": Form(_INTERPOLATE, check_rbf, again=("_xp",)),
    "LinearNDInterpolator": Form(_INTERPOLATE, check_triangulated),
    "CloughTocher2DInterpolator": Form(_INTERPOLATE, check_triangulated),
    "NearestNDInterpolator": Form(_INTERPOLATE),
    "KroghInterpolator": Form(_INTERPOLATE),
    "BarycentricInterpolator": Form(_INTERPOLATE),
    "AAA": Form(_INTERPOLATE),
    "FloaterHormannInterpolator": Form(_INTERPOLATE),
    "BivariateSpline": _SURFACE,
    "SmoothBivariateSpline": _SURFACE,
    "LSQBivariateSpline": _SURFACE,
    "RectBivariateSpline": _SURFACE,
    "SmoothSphereBivariateSpline": _SURFACE,
    "LSQSphereBivariateSpline": _SURFACE,
    "RectSphereBivariateSpline": _SURFACE,
    "Delaunay": Form(
        "scipy.spatial",
        check_delaunay,
        ("simplices", "neighbors", "coplanar", "_vertex_to_simplex", "_vertex_neighbor_vertices"),
        ("_qhull",),
    ),
    "LinearConstraint": Form("scipy.optimize"),
    **dict.fromkeys(
        ("CovViaDiagonal", "CovViaPrecision", "CovViaCholesky", "CovViaEigendecomposition", "CovViaPSD"),
        Form("scipy.stats._covariance"),
    ),
    "_PSD": Form(_STATS),
    **{f"{name}_frozen": Form(_STATS) for name in _FROZEN},
    "multinomial_frozen": Form(_STATS, example=(1, [1.0])),
    "multivariate_hypergeom_frozen": Form(_STATS, example=([1], 1)),
    "random_table_frozen": Form(_STATS, check_random_table, ("_params",), example=([1], [1])),
}  # fmt: skip
"""Class → its form."""


class AttributesCodec(Codec):
    """An object of one of these classes; no constructor is called, and nothing is computed again."""

    name = "scipy.object"
    bare = True
    early = True

    def unsaved(self, obj: Any) -> Iterable[str]:
        held = FORMS[type(obj).__qualname__].example and vars(obj).get("_dist")
        return added(held, "__doc__", *private(held)) if held else ()

    def accepts(self, cls: type) -> bool:
        form = FORMS.get(cls.__qualname__)
        return form is not None and cls.__module__.startswith("scipy.") and _class(cls.__qualname__) is cls

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind = type(obj).__qualname__
        again = FORMS[kind].again
        for name, value in _made_again(kind, again).items():
            if vars(obj).get(name) is not value:
                encoder.refuse("it is incremental, or made from other arrays than NumPy's; make it anew")
        if not FORMS[kind].example:
            return [kind, encoder.attributes(obj, frozenset(again))]
        random = vars(obj._dist).get("_random_state")
        state = None if random is np.random.mtrand._rand else encoder(random, "random_state")
        return [kind, encoder.attributes(obj, frozenset(("_dist",))), state]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, attributes, *rest = node.state
        form = FORMS[kind]
        found: Any = _class(kind)(*form.example) if form.example else object.__new__(_class(kind))
        decoder.keep(node, found)
        if not set(form.again).isdisjoint(attributes):
            raise ValueError("what the library sets itself is not taken from a file")
        if form.example:
            if "_dist" in attributes:
                raise ValueError("a distribution is not taken from elsewhere")
            random = decoder(rest[0])
            if random is not None:
                vars(found._dist)["_random_state"] = _generator(random)
        decoder.fill_attributes(found, attributes)
        vars(found).update(_made_again(kind, form.again))
        return found

    def claim(self, obj: Any) -> None:
        own, copies = vars(obj), dict[int, Any]()
        for name in FORMS[type(obj).__qualname__].copied:
            if name in own:
                own[name] = _copied(own[name], copies)

    def check(self, obj: Any) -> None:
        kind, fields = type(obj).__qualname__, attributes_of(obj)[0]
        try:
            _check_held(kind, fields)
            FORMS[kind].check(fields)
        except KeyError as error:
            raise ValueError(f"the attribute {error} is missing") from None


def _class(kind: str) -> Any:
    return getattr(_modules()[FORMS[kind].module], kind, None)


@cache
def _modules() -> dict[str, Any]:
    from scipy import interpolate, optimize, spatial
    from scipy.stats import _covariance, _multivariate

    return {
        module.__name__: module for module in (interpolate, optimize, spatial, _covariance, _multivariate)
    }


def _copied(value: Any, copies: dict[int, Any]) -> Any:
    """A copy of an array, or of those in a tuple; the same one for the same array."""
    if type(value) is tuple:
        return tuple(_copied(item, copies) if is_array(item) else item for item in value)
    if not is_array(value):
        return value
    return copies.setdefault(id(value), value.copy())


def _made_again(kind: str, names: Iterable[str]) -> dict[str, Any]:
    """The attributes that the library sets to parts of NumPy, from an object that it makes."""
    if not names or kind == "Delaunay":
        return dict.fromkeys(names)
    from scipy.interpolate import RBFInterpolator, RegularGridInterpolator

    line = np.array([0.0, 1.0])
    made: Any = (
        RegularGridInterpolator((line,), line)
        if kind == "RegularGridInterpolator"
        else RBFInterpolator(line[:, None], line, kernel="linear")
    )
    return {name: vars(made)[name] for name in names if name in vars(made)}


_HELD = {
    "_dist": "scipy.stats._multivariate:multi_rv_generic",
    "cov_object": "scipy.stats._covariance:Covariance",
    "_psd": "scipy.stats._multivariate:_PSD",
    "rowpsd": "scipy.stats._multivariate:_PSD",
    "colpsd": "scipy.stats._multivariate:_PSD",
    "shape_info": "scipy.stats._multivariate:_PSD",
    "_spline": "scipy.interpolate:NdBSpline",
    "tri": "scipy.spatial:Delaunay",
    "tree": "scipy.spatial:cKDTree",
    "_tree": "scipy.spatial:cKDTree",
}
"""The classes of the objects that these objects call."""


def _check_held(kind: str, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value is None or name not in _HELD:
            continue
        module, _, cls = _HELD[name].partition(":")
        if not isinstance(value, getattr(_modules()[module], cls)):
            raise ValueError(f"{name!r} of {with_article(kind)} is {kind_of(value)}, not {with_article(cls)}")
    if kind.endswith("_frozen") and type(fields["_dist"]).__name__ != kind.replace("_frozen", "_gen"):
        raise ValueError(f"{with_article(kind)} needs the distribution that it freezes")


class MultivariateCodec(Codec):
    """A multivariate distribution of `scipy.stats`, by its name, and its generator if it was given one."""

    name = "scipy.multivariate"

    def accepts(self, cls: type) -> bool:
        return cls.__module__ == _STATS and any(base.__name__ == "multi_rv_generic" for base in cls.__mro__)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "_random_state", "__doc__")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        name = type(obj).__name__.removesuffix("_gen")
        encoder.check(_exported, name)
        random = vars(obj).get("_random_state")
        shared = random is vars(_exported(name))["_random_state"]
        return [name, _exported(name) is obj, None if shared else encoder(random, "random_state")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name, whole, state = node.state
        exported, random = _exported(name), decoder(state)
        if whole is True and random is None:
            return exported
        found = object.__new__(type(exported))
        vars(found).update(vars(exported))
        if random is not None:
            vars(found)["_random_state"] = _generator(random)
        return found


def _generator(value: Any) -> Any:
    if not isinstance(value, (np.random.RandomState, np.random.Generator)):
        raise ValueError("the random state is not a generator")
    return value


def _exported(name: Any) -> Any:
    from scipy import stats
    from scipy.stats import _multivariate

    found = vars(stats).get(name) if type(name) is str else None
    if not isinstance(found, _multivariate.multi_rv_generic):
        raise ValueError(f"scipy.stats has no multivariate distribution {name!r}")
    return found


CODECS: tuple[Codec, ...] = (AttributesCodec(), MultivariateCodec())
