"""Functions that networks and callbacks of skorch hold, each reviewed."""

from __future__ import annotations

from saver.family import Reference, reviewed

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "skorch.setter", "internal", "sets numbers in the parameter groups of a network's own optimizer",
        "optimizer_setter",
    ),
    **reviewed(
        "skorch.utils", "internal", "makes arrays of tensors, or takes items of what it is given",
        "to_numpy _indexing_other",
    ),
}  # fmt: skip
