"""Classes of statsmodels that models hold as values, each reviewed; and its named tuples."""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "statsmodels.tsa.ardl.model", "internal", "makes a result of what a model has fitted",
        "ARDLResults ARDLResultsWrapper UECMResults UECMResultsWrapper",
    ),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances("namedtuple", "statsmodels.tsa.ar_model", "InformationCriteria"),
}
