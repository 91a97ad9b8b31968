"""Which classes a tree may ask for, and the only import by name.

A file can name classes and functions; it can never say that they are safe. The policy lies outside of
it, from four sources: what Saver's own codecs stand for, `trust=[...]` of the call, the `trust` list in
the user's configuration file, and `@saver.register`.

- A node of the codec `sklearn.…` may ask for classes of the package `sklearn`, and so for every codec
  that is installed. The codec then builds only the kinds of class that it knows.
- A *reference* (a function or class held as a value) can be called later with data from the file, so
  only the functions and classes of `REFERENCES` are trusted: numerical ones, without side effects.
- Parts of a package that exist to run, build or test things are trusted by nobody's default.

Names stand in files as `module:qualname`, so that there is one way only to look them up.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any

from saver import registry
from saver.errors import CannotRead, CannotSave, Damaged, NotFound, Untrusted
from saver.tree import Node

VARIABLE = "SAVER_CONFIG"
"""Names the configuration file, where that is not the usual one."""

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_NAME_LIMIT = 500

REFERENCE_CODECS = frozenset(("function", "class"))
"""Nodes of these codecs stand for the named thing itself instead of an instance of it."""

_NEVER_BY_DEFAULT = frozenset(
    (
        "__main__",
        "_build_utils",
        "_dynamo",
        "_inductor",
        "_mptestutils",
        "_pyinstaller",
        "_testing",
        "_testutils",
        "conftest",
        "cpp_extension",
        "distutils",
        "externals",
        "f2py",
        "hub",
        "setup",
        "testing",
        "tests",
    )
)

_BUILTINS = (
    "abs all any bool bytearray bytes complex dict divmod enumerate float frozenset int len list max"
    " min object pow range reversed round set slice sorted str sum tuple type zip"
)
_OPERATOR = (
    "abs add and_ concat contains eq floordiv ge gt index inv invert le lshift lt matmul mod mul ne"
    " neg not_ or_ pos pow rshift sub truediv truth xor"
)
_NUMPY = (
    # ufuncs
    "abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan"
    " atan2 atanh bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or"
    " bitwise_right_shift bitwise_xor cbrt ceil conj conjugate copysign cos cosh deg2rad degrees divide"
    " divmod equal exp exp2 expm1 fabs float_power floor floor_divide fmax fmin fmod frexp gcd greater"
    " greater_equal heaviside hypot invert isfinite isinf isnan isnat lcm ldexp left_shift less"
    " less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or"
    " logical_xor matmul matvec maximum minimum mod modf multiply negative nextafter not_equal positive"
    " pow power rad2deg radians reciprocal remainder right_shift rint sign signbit sin sinh spacing sqrt"
    " square subtract tan tanh true_divide trunc vecdot vecmat"
    # functions of arrays
    " all amax amin any argmax argmin argsort around array asarray atleast_1d atleast_2d average clip"
    " column_stack concatenate corrcoef cov cumprod cumsum diff digitize dot expand_dims fix flip"
    " fliplr flipud full_like histogram hstack i0 imag interp isclose isin max mean median min moveaxis"
    " nan_to_num nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanquantile nanstd nansum"
    " nanvar ones_like percentile prod ptp quantile ravel real repeat reshape roll round searchsorted"
    " select sinc sort squeeze stack std sum swapaxes tile trace transpose unique unwrap var vstack"
    " where zeros_like"
    # scalar types
    " bool bool_ byte bytes_ cdouble character clongdouble complex128 complex256 complex64 complexfloating"
    " csingle datetime64 double flexible float128 float16 float32 float64 floating generic half inexact"
    " int16 int32 int64 int8 int_ intc integer intp long longdouble longlong ndarray number object_"
    " short signedinteger single str_ timedelta64 ubyte uint uint16 uint32 uint64 uint8 uintc uintp ulong"
    " ulonglong unsignedinteger ushort void"
)
_TORCH = (
    # activations
    "celu hardshrink log_softmax prelu relu relu_ rrelu selu selu_ sigmoid sigmoid_ softmax softplus tanh"
    " tanh_ threshold"
    # arithmetic
    " abs acos acosh add addmm amax amin argmax argmin asin asinh atan atan2 atanh bmm ceil clamp cos cosh"
    " div dot erf erfc erfinv exp exp2 expm1 floor fmod frac lerp log log10 log1p log2 logaddexp logit"
    " logsumexp matmul max maximum mean median min minimum mm mul neg norm pow prod reciprocal remainder"
    " round rsqrt sign sin sinh sqrt square std sub sum tan trunc var where"
    # shapes
    " cat flatten permute reshape squeeze stack transpose unsqueeze"
    # what torch.nn.functional exports from here
    " adaptive_avg_pool1d avg_pool1d bilinear channel_shuffle conv1d conv2d conv3d cosine_similarity"
    " pairwise_distance pdist pixel_shuffle pixel_unshuffle"
)
_TORCH_NN = (
    "avg_pool2d avg_pool3d elu gelu glu hardsigmoid hardswish hardtanh leaky_relu linear log_sigmoid mish"
    " one_hot relu6 scaled_dot_product_attention silu softplus softshrink"
)

REFERENCES = frozenset(
    f"{module}:{name}"
    for module, names in (
        ("builtins", _BUILTINS),
        ("_operator", _OPERATOR),
        ("numpy", _NUMPY),
        ("numpy.linalg", "det eigh eigvalsh inv norm pinv qr slogdet svd"),
        ("numpy.fft", "fft fft2 fftn fftshift ifft irfft rfft rfft2 rfftn"),
        ("torch", _TORCH),
        ("torch._C._nn", _TORCH_NN),
        ("sklearn.utils.validation", "check_array"),
        ("sklearn.cluster._kmeans", "_kmeans_single_elkan _kmeans_single_lloyd"),
        ("collections", "Counter OrderedDict defaultdict deque"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
    )
    for name in names.split()
)
"""Functions and classes that a file may hold as values; besides the modules below, whole."""

REFERENCE_MODULES = (
    "math", "cmath", "scipy.special", "scipy.stats", "scipy.spatial.distance",
    "sklearn.metrics", "sklearn.feature_selection", "sklearn.preprocessing", "sklearn.gaussian_process",
    "torch.nn.functional",
)  # fmt: skip
"""Modules, with those below them, whose functions only compute. Methods, which may do more, are not meant:
`rv_generic._attach_argparser_methods` of `scipy.stats` runs the text of an attribute."""

_registered: set[str] = set()


def class_name(cls: type) -> str:
    """The name under which `cls` stands in a file: `module:qualname`. CannotSave for a local class."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    if not _NAME.fullmatch(name):
        raise CannotSave(
            f"{name.replace(':', '.')} is defined inside a function, where a loader cannot find it; "
            "move it to the top level of a module"
        )
    return name


def dotted(name: str) -> str:
    """A name as people write it."""
    return name.replace(":", ".")


def register(cls: type) -> None:
    """Trust `cls` in this process."""
    _registered.add(class_name(cls))


def is_registered(cls: type) -> bool:
    """Whether `@saver.register` was said of exactly this class."""
    return f"{cls.__module__}:{cls.__qualname__}" in _registered


@cache
def _configured(path: str) -> tuple[str, ...]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return ()
    except OSError as error:
        if path != os.environ.get(VARIABLE):
            return ()  # as in a container, whose user may not enter HOME: who trusts less is safe
        raise CannotRead(
            f"${VARIABLE} is {path}: {error.strerror}; name a file that can be read, or unset it"
        ) from error
    import tomllib

    try:
        patterns = tomllib.loads(data.decode()).get("trust", [])
    except ValueError as error:
        raise Damaged(f"{path} is not valid TOML ({error}); correct it or remove it") from None
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        raise Damaged(f'{path}: `trust` must be a list of names, as in trust = ["mypackage.*"]')
    return tuple(patterns)


def configuration() -> str:
    """The user's configuration file: `$SAVER_CONFIG`, or `saver/config.toml` in the XDG folder, which counts
    as empty where it cannot be read."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.environ.get(VARIABLE) or os.path.join(home, "saver", "config.toml")


def allows(node: Node, patterns: Iterable[str]) -> bool:
    """Whether the policy trusts what `node` asks for. A pure decision; imports nothing."""
    name = node.cls
    if name is None or name in _registered:
        return True
    if any(fnmatchcase(dotted(name), pattern) for pattern in patterns):
        return True
    module = name.partition(":")[0]
    if not _NEVER_BY_DEFAULT.isdisjoint(module.split(".")):
        return False
    if node.codec in REFERENCE_CODECS:
        return name in REFERENCES or (
            f"{module}.".startswith(_REFERENCE_PREFIXES) and "." not in name.partition(":")[2]
        )
    root = module.partition(".")[0]
    return root == node.codec.partition(".")[0] and registry.known("codecs", root)


_REFERENCE_PREFIXES = tuple(f"{module}." for module in REFERENCE_MODULES)


def audit(nodes: Iterable[Node], trust: Iterable[str], where: str) -> None:
    """Raise unless the policy trusts every class that `nodes` ask for. Imports nothing.

    Damaged for what cannot be a name; Untrusted names every class that is not trusted, at once, and
    the line to write.
    """
    if isinstance(trust, str):
        trust = [trust]
    patterns = (*trust, *_configured(configuration()))
    seen: dict[tuple[str, str], bool] = {}
    for node in nodes:
        if node.cls is None:
            continue
        key = (node.codec, node.cls)
        if key in seen:
            continue
        if len(node.cls) > _NAME_LIMIT or not _NAME.fullmatch(node.cls):
            raise Damaged(f"{where}: {node.cls[:80]!r} is not the name of a class")
        seen[key] = allows(node, patterns)
    names = tuple(sorted({dotted(cls) for (_, cls), trusted in seen.items() if not trusted}))
    if names:
        listed = ", ".join(f'"{name}"' for name in names)
        raise Untrusted(
            f"{where} asks for {', '.join(names)}, which is not trusted; nothing was imported. "
            f"If you trust whoever made the file: trust=[{listed}]",
            names,
        )


def resolve(name: str) -> Any:
    """The class or function called `name` (`module:qualname`), already audited.

    The only place where a name from a file becomes an object. What is found must itself carry the name
    that was audited, so that `sklearn.utils:os.system` leads nowhere. NotFound when there is no such
    thing on this machine, Damaged when the name leads somewhere else.
    """
    module_name, _, qualname = name.partition(":")
    try:
        found: Any = sys.modules.get(module_name) or import_module(module_name)
        for step in qualname.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise NotFound(
            f"the file asks for {dotted(name)}, which is not on this machine ({error}); install the "
            "package that has it, in the version that `saver show` names"
        ) from error
    if name not in names_of(found):
        raise Damaged(f"the file asks for {dotted(name)}, but that name leads to {found!r}")
    return found


def names_of(thing: Any) -> tuple[str, ...]:
    """The names under which a class or function may stand in a file; () if it has none."""
    qualname = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    if not isinstance(qualname, str) or not (isinstance(thing, type) or callable(thing)):
        return ()
    module = getattr(thing, "__module__", None)
    if isinstance(thing, type) or isinstance(module, str):
        return (f"{module}:{qualname}",) + _public_homes(thing, qualname)
    return _public_homes(thing, qualname)


_PUBLIC_HOMES = ("numpy", "scipy.special", "torch", "torch.nn.functional")


def _public_homes(thing: Any, qualname: str) -> tuple[str, ...]:
    """Ufuncs and built-in functions do not say where they live: the public modules that export them."""
    name = getattr(thing, "__name__", qualname)
    if isinstance(thing, type):
        return ()
    return tuple(
        f"{home}:{name}"
        for home in _PUBLIC_HOMES
        if home in sys.modules and getattr(sys.modules[home], name, None) is thing
    )
