"""Live objects within others: such as modules in a dict, which must fit the saved values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from saver.codec import Decoder
from saver.restoring.contract import Plan, Target, a_kind, restorer_for
from saver.restoring.report import PartReport
from saver.restoring.saved import Saved
from saver.tree import Value

_PLAIN = (str, int, float, bytes, type(None))

_PLAIN_TYPES = frozenset((*_PLAIN, bool))

_CLOSED = (tuple, set, frozenset, deque)
"""Containers that a restore replaces, together with their items."""


def is_live(target: Any, exact: bool, seen: set[int] | None = None) -> bool:
    """Whether an object in a container must fit the saved value. So must dicts and lists with such objects,
    and for an exact restore everything that holds one. `seen` are the ids of objects that are known."""
    seen, waiting = set() if seen is None else seen, [target]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _PLAIN) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, _CLOSED):
            waiting += item if exact else ()
            continue
        restorer = restorer_for(type(item))
        if restorer is None or restorer.live:
            if restorer is not None or isinstance(item, Target):
                return True
        elif exact or isinstance(item, (dict, list)):
            waiting += [inner for _, inner in restorer.within(item) if not isinstance(inner, _PLAIN)]
    return False


def stuck(name: str, target: Any) -> Iterator[str]:
    """Why an exact restore could not fill a target, each with the place.

    A frozen object cannot be filled. Containers that a restore replaces, such as tuples, must not hold live
    objects, because the training loop would keep using the old ones.
    """
    waiting, seen = [(name, target)], set[int]()
    while waiting:
        path, obj = waiting.pop()
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        if isinstance(obj, _CLOSED):
            if is_live(obj, True):
                yield (
                    f"{path}: a resume replaces {a_kind(obj)}, so it must not hold live objects; use a "
                    "list, or have the run save what it holds, under names of their own"
                )
            continue
        restorer = restorer_for(type(obj))
        if restorer is None:
            continue
        why = restorer.refusal(obj)
        if why is not None and (path == name or is_live(obj, True)):
            yield f"{path}: {why}"
        within = [*restorer.within(obj), *(each for each in restorer.replaced(obj) if is_live(each[1], True))]
        waiting += [(f"{path}.{key}", item) for key, item in within if not isinstance(item, _PLAIN)]


def _holds_nothing(target: Any) -> bool:
    """Whether it is a dict or list of plain values, or one of these, as most of very many objects are."""
    kind = type(target)
    if kind is dict or kind is list:
        return _PLAIN_TYPES.issuperset(map(type, target.values() if kind is dict else target))
    return kind in _PLAIN_TYPES


class Within:
    """The live objects among items: `plans` by key, and the keys under which nothing was saved."""

    def __init__(self, here: Mapping[Any, Any], found: Mapping[Any, Value], saved: Saved) -> None:
        live = {
            key: item for key, item in here.items() if not _holds_nothing(item) and is_live(item, saved.exact)
        }
        self.missing = [key for key in live if key not in found]
        self.plans: dict[Any, Plan] = {}
        for key, item in live.items():
            if key in found:
                with saved.step(str(key)):
                    self.plans[key] = saved.plan(found[key], item)
        self.may_refuse = any(plan.may_refuse for plan in self.plans.values())

    def ready(self, decoder: Decoder) -> list[Callable[[], None]]:
        """The functions that change them, those that call the user's code first."""
        plans = sorted(self.plans.values(), key=lambda plan: not plan.may_refuse)
        return [plan.ready(decoder) for plan in plans if plan.ready is not None]

    def report(self, into: str, matched: Iterable[str]) -> PartReport:
        """One report for all of them; their keys precede the names."""
        parts = [(str(key), plan.report) for key, plan in self.plans.items()]

        def named(field: str) -> tuple[str, ...]:
            return tuple(f"{key}.{name}" for key, part in parts for name in getattr(part, field))

        def listed(field: str) -> tuple[Any, ...]:
            return tuple(
                replace(item, name=f"{key}.{item.name}")
                for key, part in parts
                for item in getattr(part, field)
            )

        return PartReport(
            into,
            matched=(*matched, *named("matched")),
            missing=(*map(str, self.missing), *named("missing")),
            unexpected=named("unexpected"),
            mismatched=listed("mismatched"),
            converted=listed("converted"),
            left_out=named("left_out"),
            kept=named("kept"),
        )
