"""Classes of pandas whose instances files may hold, each reviewed."""

from __future__ import annotations

from saver.family import Reference, instances

REFERENCES: dict[str, Reference] = {}

INSTANCES: dict[str, str] = {
    **instances("dataclass", "pandas", "NamedAgg"),
    **instances("namedtuple", "pandas.core.groupby.generic", "NamedAgg"),
    **instances("enum", "pandas._libs.lib", "_NoDefault"),
    **instances("enum", "pandas._libs.tslibs.dtypes", "FreqGroup NpyDatetimeUnit Resolution"),
    **instances(
        "enum", "pandas.core.interchange.dataframe_protocol",
        "ColumnNullType DlpackDeviceType DtypeKind",
    ),
}  # fmt: skip
"""Aggregations by name, as `groupby.agg` takes them, and its plain enums."""
