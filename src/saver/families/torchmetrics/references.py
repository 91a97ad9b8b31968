"""Functions of TorchMetrics that metrics hold, each reviewed."""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "torchmetrics.utilities.data", "internal",
        "joins the states of several processes: sums, means or orders tensors",
        "dim_zero_cat dim_zero_sum dim_zero_mean dim_zero_max dim_zero_min",
    ),
    **reviewed(
        "torchmetrics.metric", "internal", "takes nothing, and says whether processes are joined",
        "jit_distributed_available",
    ),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances(
        "enum", "torchmetrics.utilities.enums",
        "AverageMethod ClassificationTask ClassificationTaskNoBinary ClassificationTaskNoMultilabel DataType"
        " MDMCAverageMethod",
    ),
    **instances("enum", "torchmetrics.functional.regression.kendall", "_MetricVariant _TestAlternative"),
}  # fmt: skip
