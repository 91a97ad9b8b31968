"""Functions and classes of Python that files may hold as values, each reviewed.

Left out on purpose: functions that take a callable (`sorted`, `min` and `max` by their key, `map`,
`defaultdict`), the name of an attribute (`getattr`, `attrgetter`), text or a path (`eval`, `open`), or that
make classes (`type`) or large results from small arguments (`pow`, `<<`, `range`, `bytes` of a number,
factorials).
"""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "builtins", "number", "returns one number for a number or a container, by its type's own method",
        "abs all any len round sum",
    ),
    **reviewed(
        "builtins",
        "type factory",
        "a plain type: `dtype=float`; called without arguments it makes an empty value",
        "bool complex float int str",
    ),
    **reviewed(
        "builtins", "factory", "called without arguments, as a factory is, it makes an empty container",
        "dict frozenset list set tuple",
    ),
    **reviewed(
        "builtins", "text", "a method of a text, called on nothing else: at most a few texts of its size",
        "str.capitalize str.casefold str.lower str.lstrip str.rsplit str.rstrip str.split str.splitlines"
        " str.strip str.swapcase str.title str.upper",
    ),
    **reviewed("builtins", "type", "`dtype=object`; it has no arguments and no state", "object"),
    **reviewed(
        "collections", "factory", "called without arguments, as a factory is, it makes an empty container",
        "Counter OrderedDict deque",
    ),
    **reviewed(
        "_operator", "number elementwise", "an operator of one operand, by its type's own method",
        "abs inv invert neg pos",
    ),
    **reviewed(
        "_operator", "number", "whether its operand is true, by its type's own method",
        "not_ truth",
    ),
    **reviewed(
        "_operator", "combining", "an operator of two operands, by their types' own methods",
        "add and_ eq floordiv ge gt le lt matmul mod mul ne or_ sub truediv xor",
    ),
    **reviewed(
        "math", "number", "a function of a floating point number, of fixed cost",
        "acos acosh asin asinh atan atanh cbrt ceil cos cosh degrees erf erfc exp exp2 expm1 fabs floor"
        " gamma isfinite isinf isnan lgamma log log10 log1p log2 radians sin sinh sqrt tan tanh trunc",
    ),
    **reviewed(
        "math", "combining", "a function of two floating point numbers, of fixed cost",
        "atan2 comb copysign fmod hypot ldexp pow",
    ),
    **reviewed(
        "cmath", "number", "a function of a complex number, of fixed cost",
        "acos acosh asin asinh atan atanh cos cosh exp isfinite isinf isnan log log10 phase sin sinh sqrt"
        " tan tanh",
    ),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances("enum", "calendar", "Day Month"),
    **instances("enum", "http", "HTTPMethod HTTPStatus"),
    **instances("enum", "inspect", "_ParameterKind"),
    **instances("enum", "plistlib", "PlistFormat"),
    **instances("enum", "pstats", "SortKey"),
    **instances("enum", "py_compile", "PycInvalidationMode"),
    **instances("enum", "re", "RegexFlag"),
    **instances("enum", "signal", "Handlers Sigmasks Signals"),
    **instances("enum", "socket", "AddressFamily AddressInfo MsgFlag SocketKind"),
    **instances(
        "enum", "ssl",
        "AlertDescription Options Purpose SSLErrorNumber TLSVersion VerifyFlags VerifyMode",
    ),
    **instances("enum", "uuid", "SafeUUID"),
    **instances("dataclass", "pstats", "FunctionProfile StatsProfile"),
    **instances("namedtuple", "concurrent.futures._base", "DoneAndNotDoneFutures"),
    **instances("namedtuple", "decimal", "DecimalTuple"),
    **instances("namedtuple", "difflib", "Match"),
    **instances("namedtuple", "doctest", "TestResults"),
    **instances("namedtuple", "inspect", "ArgInfo Arguments Attribute ClosureVars FullArgSpec"),
    **instances("namedtuple", "ssl", "DefaultVerifyPaths"),
    **instances("namedtuple", "statistics", "LinearRegression"),
    **instances("namedtuple", "tokenize", "TokenInfo"),
    **instances("namedtuple", "urllib.parse", "DefragResultBytes ParseResultBytes SplitResultBytes"),
    **instances("namedtuple", "urllib.robotparser", "RequestRate"),
    **instances("namedtuple", "wave", "_wave_params"),
}  # fmt: skip
"""Of the standard library: what calls of it return, and what options of it are. None has a finalizer, or a
method that does more than compute with its own fields."""
