"""Masks, such as that of an Embedding. Keras 3 computes them in operations of their own, and TensorFlow.js
lets layers pass them on: a model is written only if that leads to the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from saver.formats.tfjs.calls import calls_of, class_of, histories, is_model
from saver.formats.tfjs.layers import PASSES, RECURRENT, STOPS

Source = tuple[Any, ...]
"""What a mask is computed of: a tensor and a number; or the model within that makes it."""


def computed(layers: Sequence[Any]) -> dict[str, Source]:
    """The operations that compute the masks of other layers, by their names: they compare the same tensor
    with the same number."""
    sources = {_source(each) for each in layers} - {None}
    found = dict[str, Source]()
    for each in layers:
        name, kind = each["config"]["name"], class_of(each)
        for call in calls_of(each) if each.get("module") == "keras.src.ops.numpy" else ():
            tensors = [tuple(each) for each in histories(call["args"])]
            compared = (tensors[0], _number(call["args"][-1])) if len(tensors) == 1 else None
            if kind == "NotEqual" and compared and compared in sources and len(call["args"]) == 2:
                found[name] = compared
            elif kind == "Any" and compared is not None and compared[0][0] in found:
                found[name] = found[compared[0][0]]
    return found


def misled(
    layers: Sequence[Any], sequential: bool, within: Collection[str]
) -> tuple[dict[str, str], set[str]]:
    """The layers where masks would do something else, with the reason; and those whose outputs have masks.
    Of the models `within`, the outputs have masks."""
    known = computed(layers)
    entries = {each["config"]["name"]: each for each in layers}
    after: dict[str, list[str]] = {name: [] for name in entries}
    given = dict[str, set[Source]]()
    for before, name in zip(entries, list(entries)[1:], strict=False) if sequential else ():
        after[before].append(name)
    for name, each in entries.items():
        for call in calls_of(each):
            masks = {known.get(mask[0], ()) for mask in histories(call["kwargs"].get("mask"))}
            given[name] = given.get(name, set()) | masks
            others = [value for key, value in call["kwargs"].items() if key != "mask"]
            for history in histories([call["args"], others]):
                after.get(history[0], []).append(name)
    into, out, wrong = _followed(entries, after, within)
    for name, each in entries.items() if not sequential else ():
        if class_of(each) in (*RECURRENT, "Bidirectional") and into.get(name, set()) != given.get(
            name, set()
        ):
            wrong.setdefault(name, "its mask is not that of its input")
    return wrong, out


def _followed(
    entries: Mapping[str, Any], after: Mapping[str, Sequence[str]], within: Collection[str]
) -> tuple[dict[str, set[Source]], set[str], dict[str, str]]:
    """The masks that reach each layer, the layers whose outputs have one, and those where that is wrong."""
    begun = {name: (name,) if name in within else _source(each) for name, each in entries.items()}
    out = {name: source for name, source in begun.items() if source is not None}
    into, wrong, waiting = dict[str, set[Source]](), dict[str, str](), list(out)
    while waiting:
        before = waiting.pop()
        for name in after[before]:
            into.setdefault(name, set()).add(out[before])
            each = entries[name]
            reason = "several masks reach it" if len(into[name]) > 1 else _reason(each)
            if reason:
                wrong[name] = reason
            elif name not in out and _passes(each):
                out[name] = out[before]
                waiting.append(name)
    return into, {*out}, wrong


def _reason(entry: Any) -> str:
    """Why a mask must not reach a layer; "" if it may."""
    kind = class_of(entry)
    inner = entry["config"].get("layer") if kind == "Bidirectional" else None
    if is_model(entry):
        return "a mask reaches this model from outside"
    if kind in STOPS or (inner is not None and inner["config"].get("return_sequences")):
        return f"a mask reaches it, with which {kind} does something else in TensorFlow.js"
    return ""


def _passes(entry: Any) -> bool:
    kind = class_of(entry)
    return kind in PASSES and (kind not in RECURRENT or entry["config"].get("return_sequences") is True)


def _source(entry: Any) -> Source | None:
    """What the mask of a layer is computed of; None if it makes none."""
    config = entry["config"]
    if class_of(entry) == "Embedding" and config.get("mask_zero"):
        number: Any = 0.0
    elif class_of(entry) == "Masking":
        number = _number(config.get("mask_value"))
    else:
        return None
    found = [tuple(each) for call in calls_of(entry) for each in histories(call["args"])]
    return (found[0] if len(found) == 1 else entry["config"]["name"], number)


def _number(value: Any) -> Any:
    return float(value) if type(value) in (int, float) else None
