"""Values that contain themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pieces import node


def cycles() -> dict[str, Any]:
    """A container of each kind that is filled after it was made, which contains itself: directly, in a tuple,
    and in a tuple of which it is an item."""
    found: dict[str, Any] = {}
    kinds: dict[str, Callable[[Any], dict[str, Any]]] = {
        "deque": lambda item: node("stdlib.deque", [None, [item]]),
        "Counter": lambda item: node("stdlib.Counter", {"a": item}),
        "Counter-keys": lambda item: node("stdlib.Counter", [[1], [item]]),
        "OrderedDict": lambda item: node("stdlib.OrderedDict", {"a": item}),
        "defaultdict": lambda item: node("stdlib.defaultdict", [None, {"a": item}]),
        "namespace": lambda item: node("stdlib.SimpleNamespace", {"a": item}),
        "UserDict": lambda item: node("stdlib.record", ["UserDict", {"data": node("dict", {"a": item})}]),
        "objects": lambda item: node("numpy.array", {"dtype": "|O", "items": [item], "shape": [1]}),
        "structure": lambda item: node("numpy.array", {
            "dtype": {"names": ["a"], "formats": ["|O"], "offsets": [0], "itemsize": 8}, "shape": [1],
            "fields": [node("numpy.array", {"dtype": "|O", "items": [item], "shape": [1]})],
        }),
        "masked": lambda item: node("numpy.masked", {
            "data": node("numpy.array", {"dtype": "|O", "items": [item], "shape": [1]}), "mask": None,
            "fill_value": None, "hard": False,
        }),
    }  # fmt: skip
    for name, make in kinds.items():
        direct, through, within = make({"$ref": 1}), make(node("tuple", [{"$ref": 1}])), make({"$ref": 1})
        found[f"cycle-{name}"] = {**direct, "id": 1}
        if name != "masked":  # itself made whole, so the reference would have to be in the array
            found[f"cycle-{name}-tuple"] = {**through, "id": 1}
        found[f"cycle-tuple-{name}"] = node("tuple", [within], id=1)
    return found
