"""Classes of statsmodels that models hold as values, each reviewed; and its named tuples."""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "statsmodels.tsa.ardl.model", "internal", "makes a result of what a model has fitted",
        "ARDLResults ARDLResultsWrapper UECMResults UECMResultsWrapper",
    ),
    **reviewed(
        "statsmodels.discrete.count_model", "internal", "makes a result of what a model has fitted",
        " ".join(
            f"{start}ZeroInflated{kind}Results{end}"
            for start in ("", "L1")
            for kind in ("GeneralizedPoisson", "NegativeBinomial", "Poisson")
            for end in ("", "Wrapper")
        ),
    ),
    **reviewed(
        "statsmodels.discrete.truncated_model", "internal", "makes a result of what a model has fitted",
        "HurdleCountResults HurdleCountResultsWrapper L1HurdleCountResults L1HurdleCountResultsWrapper"
        " TruncatedLFGenericResults L1TruncatedLFGenericResults L1TruncatedLFGenericResultsWrapper"
        " TruncatedLFGenericResultsWrapper TruncatedLFPoissonResults TruncatedNegativeBinomialResults",
    ),
    **reviewed(
        "statsmodels.miscmodels.ordinal_model", "internal", "makes a result of what a model has fitted",
        "OrderedResults",
    ),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances("namedtuple", "statsmodels.tsa.ar_model", "InformationCriteria"),
}
