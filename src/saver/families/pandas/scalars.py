"""The scalars of pandas: timestamps, durations, periods, intervals, offsets, missing values."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from saver.codec import Codec, Decoder, Encoder
from saver.errors import kind_of
from saver.families.pandas.base import PandasCodec
from saver.families.pandas.dtypes import period_dtype, unit_of, zone_of
from saver.tree import Node, Value

_OFFSETS: dict[str, Any] = {
    cls.__name__: cls
    for cls in map(pd.offsets.__dict__.get, pd.offsets.__all__)
    if isinstance(cls, type) and cls.__name__ not in ("BaseOffset", "Tick")
}


class MissingCodec(PandasCodec):
    """`pd.NA` and `pd.NaT`."""

    name = "pandas.missing"
    types = (type(pd.NA), type(pd.NaT))
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return "NA" if obj is pd.NA else "NaT"

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return {"NA": pd.NA, "NaT": pd.NaT}[node.state]


def _int64(value: Any) -> Any:
    if type(value) is not int or not -(2**63) < value < 2**63:
        raise ValueError(f"{kind_of(value)} is not an integer, or needs more than 64 bits")
    return value


_DATE: Any = np.datetime64  # the stubs know only literal units
_SPAN: Any = np.timedelta64


class TimestampCodec(PandasCodec):
    """A timestamp as a number of its units since 1970, in UTC if it has a time zone."""

    name = "pandas.Timestamp"
    types = (pd.Timestamp,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.unit, encoder(obj._value), encoder(obj.tz, "tz"), obj.fold]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        unit, count, zone, fold = node.state
        found: Any = pd.Timestamp(_DATE(_int64(decoder(count)), unit_of(unit)))
        zone = decoder(zone)
        if zone is not None:
            found = found.tz_localize("UTC").tz_convert(zone_of(zone))
        return found if found.fold == fold else found.replace(fold=fold)


class TimedeltaCodec(PandasCodec):
    """A duration in its own unit."""

    name = "pandas.Timedelta"
    types = (pd.Timedelta,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.unit, encoder(obj._value)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        unit, count = node.state
        return pd.Timedelta(_SPAN(_int64(decoder(count)), unit_of(unit)))


class PeriodCodec(PandasCodec):
    """A period: ordinal and frequency."""

    name = "pandas.Period"
    types = (pd.Period,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.ordinal), obj.freqstr]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        ordinal, frequency = node.state
        dtype = period_dtype(frequency)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return pd.Period(ordinal=_int64(decoder(ordinal)), freq=dtype.freq)


class IntervalCodec(PandasCodec):
    """An interval: both ends, and which of them are included."""

    name = "pandas.Interval"
    types = (pd.Interval,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.left, "left"), encoder(obj.right, "right"), obj.closed]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        left, right, closed = node.state
        return pd.Interval(decoder(left), decoder(right), closed)


class OffsetCodec(PandasCodec):
    """Date offsets, by their settings."""

    name = "pandas.offset"
    types = tuple(_OFFSETS.values())

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        settings = {key: value for key, value in sorted(obj.kwds.items()) if key != "calendar"}
        cls = type(obj)
        if cls(obj.n, normalize=obj.normalize, **settings) != obj:
            encoder.refuse(f"the offset {obj!r} with a calendar of its own has no data form; use holidays=")
        return [cls.__name__, encoder(obj.n), bool(obj.normalize), encoder.fields(settings)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name, count, normalize, settings = node.state
        found: dict[str, Any] = {}
        decoder.fill(settings, found)
        if "calendar" in found:
            raise ValueError("an offset with a calendar has no data form")
        return _OFFSETS[name](_int64(decoder(count)), normalize=normalize is True, **found)


SCALARS: tuple[Codec, ...] = (
    MissingCodec(), TimestampCodec(), TimedeltaCodec(), PeriodCodec(), IntervalCodec(), OffsetCodec(),
)  # fmt: skip
