"""The JSON documents that Saver prints with `--json` and serves: programs may rely on them.

The promise, for each document by the name in its field `schema`, such as `saver.models.1`:

- Every field below is always present, with this name, type and meaning. A value that is unknown, or does
  not apply, is null, "", 0 or an empty list, depending on the type.
- Fields may be added, at any level. Nothing is renamed or removed, and no type or meaning changes; a
  document that would have to change gets a new name, `saver.models.2`. Readers ignore unknown fields.
- The order of fields, white space, the wording of texts, and the content of `environment`, `data` and
  `values` (whatever the version recorded) are not promised.

Sizes are in bytes, times in seconds since 1970 (UTC), durations in seconds. JSON cannot express numbers
that are not finite: they are the strings `"nan"`, `"inf"` and `"-inf"`. Hashes are BLAKE3, in hexadecimal.

The structs here are separate from those that commands work with, so that the latter may change.
docs/documents.schema.json is the JSON Schema of them all. Tests compare it, and what commands print, with
the structs here.
"""

from __future__ import annotations

from typing import TypeAlias

from saver.documents.audit import Annotated, Entry, Log, entry
from saver.documents.charts import (
    ComparedLayer,
    ComparedMetric,
    ComparedText,
    Comparison,
    Curve,
    CurvePanel,
    CurveRun,
    Curves,
    Heat,
    HeatMap,
    Point,
    WeightChange,
    Weights,
)
from saver.documents.contents import Description, Part, Tensor
from saver.documents.differences import (
    Amount,
    Array,
    ArrayChange,
    DataChange,
    Difference,
    MetricChange,
    PartChange,
    Status,
    Value,
)
from saver.documents.keys import Holder, Holders, MadeKey, holders
from saver.documents.migrations import Came, Left, Migrated, migrated
from saver.documents.pages import (
    Done,
    FoundEntries,
    FoundEntry,
    FoundModel,
    FoundModels,
    FoundVersion,
    FoundVersions,
    Health,
    Lineage,
    Showing,
    ShownVersion,
    ToDelete,
    Trend,
    Trouble,
    Work,
)
from saver.documents.piece import Number, Piece, Whole, document, utc
from saver.documents.predictions import (
    CheckedPredictions,
    Differs,
    Field,
    Predicted,
    Predictions,
    Schema,
    Scored,
    Seen,
    Tolerance,
    predicted,
)
from saver.documents.runs import (
    Differing,
    Ended,
    Event,
    LastSave,
    Proof,
    Proven,
    Rehearsal,
    Resumed,
    Run,
    Runs,
)
from saver.documents.serving import ListedToken, MadeToken, ServedModel, ServedVersion, Serving, Tokens
from saver.documents.signing import (
    Granted,
    Signed,
    SignedFiles,
    Verdict,
    Verified,
    VerifiedFiles,
    verified,
)
from saver.documents.upkeep import (
    Access,
    Checked,
    Collected,
    Copied,
    Created,
    Damage,
    Diagnosis,
    Failed,
    Finding,
    May,
    Severity,
)
from saver.documents.versions import (
    Card,
    Converted,
    Deleted,
    Exported,
    Imported,
    ListedVersion,
    Loss,
    Model,
    Models,
    Moved,
    PartVersion,
    Pruned,
    Pushed,
    Tag,
    TagMoved,
    Tags,
    Version,
    Versions,
    converted,
    version,
)

__all__ = [
    "Access",
    "Amount",
    "Annotated",
    "Array",
    "ArrayChange",
    "Came",
    "Card",
    "Checked",
    "CheckedPredictions",
    "Collected",
    "ComparedLayer",
    "ComparedMetric",
    "ComparedText",
    "Comparison",
    "Converted",
    "Copied",
    "Created",
    "Curve",
    "CurvePanel",
    "CurveRun",
    "Curves",
    "Damage",
    "DataChange",
    "Deleted",
    "Description",
    "Diagnosis",
    "Difference",
    "Differing",
    "Differs",
    "Document",
    "Done",
    "Ended",
    "Entry",
    "Event",
    "Exported",
    "Failed",
    "Field",
    "Finding",
    "FoundEntries",
    "FoundEntry",
    "FoundModel",
    "FoundModels",
    "FoundVersion",
    "FoundVersions",
    "Granted",
    "Health",
    "Heat",
    "HeatMap",
    "Holder",
    "Holders",
    "Imported",
    "LastSave",
    "Left",
    "Lineage",
    "ListedToken",
    "ListedVersion",
    "Log",
    "Loss",
    "MadeKey",
    "MadeToken",
    "May",
    "MetricChange",
    "Migrated",
    "Model",
    "Models",
    "Moved",
    "Number",
    "Part",
    "PartChange",
    "PartVersion",
    "Piece",
    "Point",
    "Predicted",
    "Predictions",
    "Proof",
    "Proven",
    "Pruned",
    "Pushed",
    "Rehearsal",
    "Resumed",
    "Run",
    "Runs",
    "Schema",
    "Scored",
    "Seen",
    "ServedModel",
    "ServedVersion",
    "Serving",
    "Severity",
    "Showing",
    "ShownVersion",
    "Signed",
    "SignedFiles",
    "Status",
    "Tag",
    "TagMoved",
    "Tags",
    "Tensor",
    "ToDelete",
    "Tokens",
    "Tolerance",
    "Trend",
    "Trouble",
    "Value",
    "Verdict",
    "Verified",
    "VerifiedFiles",
    "Version",
    "Versions",
    "WeightChange",
    "Weights",
    "Whole",
    "Work",
    "converted",
    "document",
    "entry",
    "holders",
    "migrated",
    "predicted",
    "utc",
    "verified",
    "version",
]

Document: TypeAlias = (
    Models | Versions | Imported | Exported | Converted | Deleted | Tags | TagMoved | Description | Difference
    | Pushed | Collected | Checked | Copied | Diagnosis | Runs | Rehearsal | Proven | Log | Annotated | Pruned
    | Migrated | MadeKey | Holders | Created | Card | Signed | Verified | Granted
    | SignedFiles | VerifiedFiles | CheckedPredictions | Scored | Serving | MadeToken | Tokens
    | Showing | Done | Trouble | FoundModels | FoundVersions | FoundEntries | ShownVersion | ToDelete | Health
    | Comparison | Curves | Failed
)  # fmt: skip
"""Any document: `msgspec.json.decode(text, type=Document)` reads what a command printed."""
