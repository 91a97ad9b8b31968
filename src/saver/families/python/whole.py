"""Restores objects in place as a whole: what compiled code holds, and objects by all their attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from saver import trust
from saver.codec import Decoder
from saver.families.python.restoring import told
from saver.restoring import PartReport, Plan, Restorer, Saved
from saver.restoring.contract import a_kind, kind
from saver.tree import Node, Value


class WholeRestorer(Restorer):
    """Objects of exactly the class `cls`, by `become(target, found)`, which lets the target be an object that
    was loaded and that is not used any more. `codec` is the name of the codec of `cls`; `refusal(target)`
    says why an object cannot become another one, or returns ""."""

    def __init__(
        self,
        cls: type,
        codec: str,
        become: Callable[[Any, Any], None],
        refusal: Callable[[Any], str] = lambda target: "",
    ) -> None:
        self._cls, self._codec, self._become, self._refusal = cls, codec, become, refusal

    def accepts(self, cls: type) -> bool:
        return cls is self._cls

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if type(node) is not Node or node.codec != self._codec:
            what = self._cls.__name__
            saved.refuse(f"{told(node)} was saved, not a {what}; take it from `load`")
        if why := self._refusal(target):
            saved.refuse(why)
        saved.want(node)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found = decoder(node)
            return lambda: self._become(target, found)

        return Plan(PartReport(kind(target), ("value",)), ready)


class AttributesRestorer(Restorer):
    """Objects of these classes: they get all attributes of the saved one, of the same class. What is within
    them is then what was loaded, no longer what they held. `codec` is the name of their codec."""

    def __init__(self, bases: tuple[type, ...], codec: str) -> None:
        self._bases, self._codec = bases, codec

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, self._bases)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        same = type(node) is Node and saved.class_name(node) == trust.own_name(type(target))
        if type(node) is not Node or node.codec != self._codec or not same:
            saved.refuse(f"{told(node)} was saved, not {a_kind(target)}; take it from `load`")
        saved.want(node)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found = dict(vars(decoder(node)))
            return lambda: _replace(target, found)

        return Plan(PartReport(kind(target), ("value",)), ready)


def _replace(target: Any, found: dict[str, Any]) -> None:
    own = vars(target)
    own.clear()
    own.update(found)
