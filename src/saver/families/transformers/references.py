"""Functions of Transformers that files may hold as values, each reviewed; and its enums."""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

REFERENCES: dict[str, Reference] = reviewed(
    "transformers.optimization",
    "schedule",
    "arithmetic on a step, numbers and names of curves, which gives a number, of fixed cost",
    "_get_constant_lambda _get_constant_schedule_with_warmup_lr_lambda "
    "_get_cosine_schedule_with_warmup_lr_lambda "
    "_get_cosine_with_hard_restarts_schedule_with_warmup_lr_lambda "
    "_get_cosine_with_min_lr_schedule_with_warmup_lr_rate_lambda "
    "_get_inverse_sqrt_schedule_lr_lambda _get_linear_schedule_with_warmup_lr_lambda "
    "_get_polynomial_decay_schedule_with_warmup_lr_lambda _get_wsd_scheduler_lambda",
)

INSTANCES: dict[str, str] = {
    **instances("enum", "PIL.Image", "Resampling"),
    **instances("enum", "transformers.image_utils", "AnnotationFormat ChannelDimension"),
    **instances("enum", "transformers.utils.generic", "PaddingStrategy TensorType"),
    **instances("enum", "transformers.tokenization_utils_base", "TruncationStrategy"),
    **instances(
        "dataclass", "transformers.integrations.heterogeneity.configuration_utils", "_HeterogeneitySpec"
    ),
    **instances("dataclass", "transformers.image_utils", "SizeDict"),
    **instances("dataclass", "transformers.generation.configuration_utils", "CompileConfig"),
}
"""What its objects hold. A resampling is a number with a name of Pillow's, which has no family."""
