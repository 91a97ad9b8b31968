"""How the objects of pandas lie in pickles, in all versions since 0.20.

pandas moved its classes often, so they are known by their bare names, in the modules that have held them.
"""

from __future__ import annotations

from saver.codec import Codec
from saver.families.pandas.pickled_arrays import ARRAYS
from saver.families.pandas.pickled_frames import FRAMES, INDEXES, PARTS
from saver.families.pandas.pickled_parts import MODULES, UNPICKLE, bare, class_of
from saver.families.pandas.pickled_scalars import MISSING, SCALARS
from saver.pickled import Call, Global, Pickled

READERS: dict[str, Codec] = {}

PLAIN_ARRAYS = frozenset(f"{module}:FrozenNDArray" for module in MODULES)
"""Classes of arrays that are read as those of NumPy: the codes of a MultiIndex before 1.0."""

_UNPICKLERS = tuple(f"{UNPICKLE}{name}" for name in ("NDArrayBacked", "IntervalMixin", "PeriodMixin"))
_INDEX_MAKERS = tuple(f"_new_{kind}Index" for kind in ("", "Datetime", "Interval", "Period", "Timedelta"))


def claims(call: Call) -> Pickled | None:
    """What a call becomes, by the class that it makes."""
    name = bare(call.function)
    if name in _INDEX_MAKERS:
        return INDEXES.get(class_of(call))
    if name in _UNPICKLERS:
        return ARRAYS.get(class_of(call))
    if name in SCALARS or name in PARTS:
        return SCALARS.get(name) or PARTS[name]
    return {**FRAMES, **ARRAYS}.get(name)


def value(name: str) -> Pickled | None:
    """`pd.NA`, which pickles name."""
    module, _, what = name.partition(":")
    return MISSING if bare(Global(module, what)) == "NA" else None
