"""Functions of Transformers that files may hold as values, each reviewed; and its enums."""

from __future__ import annotations

from saver.family import Reference, instances

REFERENCES: dict[str, Reference] = {}

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
