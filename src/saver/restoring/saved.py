"""A version as restorers see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from msgspec.structs import replace

from saver import trust as policy
from saver.codec import Decoder, check
from saver.errors import DoesNotFitError, IncompatibleError, SaverError
from saver.garbage import uncollected
from saver.restoring.conflicts import Conflicts
from saver.restoring.contract import Plan, Restorer, Target, a_kind, kind, restorer_for
from saver.restoring.in_place import InPlace
from saver.restoring.naming import Naming
from saver.restoring.pairing import Pair, Pairs
from saver.restoring.report import PartReport
from saver.rules import Broken
from saver.stack import SEGMENT, is_deep, on_fresh_stack
from saver.storage import Progress
from saver.tree import SCALARS, Node, Reference, Tensor, Value

if TYPE_CHECKING:
    from saver.opened import Opened
    from saver.tensors import Box, TensorInfo

Bring: TypeAlias = "Callable[[Sequence[str], Mapping[str, Sequence[Box]]], None]"


class Saved:
    """One version, as restorers see it: trees that they inspect, and a record of what will be decoded.

    If `exact`, every target must become what `load` would return, attributes included, as a run needs it
    that resumes. `roots` are the trees of the parts with their targets, once planning begins.
    """

    def __init__(
        self,
        opened: Opened,
        naming: Naming,
        strict: bool,
        limit: int | str | None = None,
        *,
        exact: bool = False,
        allowed: policy.Allowed = policy.Allowed(),  # noqa: B008 - it is frozen
    ) -> None:
        self._allowed = allowed
        self._budget = opened.budget(limit)
        self.strict = strict
        self.exact = exact
        self.naming = naming
        self.roots: list[tuple[Value, Any]] = []
        self._opened = opened
        self._steps: list[str] = []
        self._wanted: list[Value | dict[str, Any]] = []
        self._held: list[Value | dict[str, Any]] = []
        self._boxes: dict[str, list[Box]] = {}
        self._in_place = InPlace(self)
        self._pairs = Pairs(self, self._in_place)
        self._conflicts = Conflicts(self)
        self._live: list[tuple[Node, Any]] = []
        self._becoming: dict[int, Any] = {}
        self._sources: dict[int, Node] = {}
        self.batches = opened.batches

    @property
    def where(self) -> str:
        """The name of the value being planned, as messages show it: `run@3: optimizer`."""
        return f"{self._opened.where}: {'.'.join(self._steps)}" if self._steps else self._opened.where

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A context in which a value with this name is planned."""
        self._steps.append(name)
        yield
        self._steps.pop()

    def plan(self, value: Value, target: Any) -> Plan:
        """The plan of the target's restorer. Raises DoesNotFitError, or IncompatibleError if no codec wrote
        this tree."""
        restorer = restorer_for(type(target))
        self._pairs.taken.add(id(target))
        if self.exact and self.known(self.follow(value), target):
            return Plan(PartReport(kind(target)))  # planned already: what was saved refers to it twice
        if restorer is None and not isinstance(target, Target):
            self.refuse(f"{a_kind(target)} cannot be restored in place; take it from `load`")
        if restorer is not None and not (restorer.live and hasattr(target, "load_state_dict")):
            self._conflicts.add(".".join(self._steps), self.follow(value), target)
        try:
            depth = len(self._steps)
            if depth % SEGMENT == 1 and (depth > 1 or is_deep()):
                return _on_fresh_stacks(on_fresh_stack(self._planned, restorer, value, target))
            return self._planned(restorer, value, target)
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self.not_understood(error) from error

    def _planned(self, restorer: Restorer | None, value: Value, target: Any) -> Plan:
        if restorer is None:
            return target.plan(value, self)  # type: ignore[no-any-return]
        return restorer.plan(value, target, self)

    def not_understood(self, error: Exception, where: str = "") -> IncompatibleError:
        """The error for a saved tree that could not be read as what it should be."""
        parts = self._opened.manifest.parts.values()
        versions = self._opened.versions(package for part in parts for package in part.packages)
        kind = "ValueError" if isinstance(error, Broken) else type(error).__name__
        why = f"{where or self.where} is not understood here: {kind}: {error}{versions}"
        return IncompatibleError(why, rule=getattr(error, "rule", None))

    def refuse(self, why: str) -> NoReturn:
        """Raise DoesNotFitError for the value that is being planned."""
        raise DoesNotFitError(f"{self.where}: {why}")

    def follow(self, value: Value) -> Value:
        """The value itself, or the node that it refers to."""
        if type(value) is not Reference:
            return value
        node = self._opened.nodes.get(value.id)
        if node is None:
            raise IncompatibleError(f"{self.where} refers to node {value.id}, which is missing")
        return node

    def class_name(self, node: Node) -> str | None:
        """The name of the node's class here, as files write it: that of the class which the caller gave for
        the name in the file, if there is one."""
        return None if node.cls is None else self._allowed.own_name(node.cls)

    def entry(self, ref: Any) -> TensorInfo:
        """What a `Tensor` is, without reading it."""
        if type(ref) is not Tensor:
            raise ValueError("a tensor is missing")
        try:
            return self._opened.tensors.info(ref.name)
        except KeyError:
            raise IncompatibleError(
                f"{self.where} refers to the tensor {ref.name[:80]!r}, which is missing"
            ) from None

    def peek(self) -> Decoder:
        """A decoder for runs of plain values, such as the keys of a dict, before anything is admitted."""
        return Decoder((), {}, self._opened.tensors, self.where, self._budget, versions=self._opened.versions)

    def want(self, *values: Value | dict[str, Any] | list[Any]) -> None:
        """Announce values that will be decoded whole: nodes, tensors, or the state of nodes."""
        self._wanted.extend(values)

    def want_box(self, ref: Tensor, box: Box) -> None:
        """Announce that a box of a tensor will be read."""
        self._boxes.setdefault(ref.name, []).append(box)

    def hold(self, *values: Value | dict[str, Any] | list[Any]) -> None:
        """Announce values that will be decoded and stored as they are: nothing examines them before
        everything is restored, so they may contain objects that are filled only later."""
        self._held.extend(values)

    def stay(self, value: Value, target: Any) -> None:
        """Let `target`, which is in the place of `value`, and the objects in it be filled in place if
        possible. Then `value` decodes to the target. `value` must be held."""
        self._pairs.roots.append((value, target))

    def fills(self, pair: Pair) -> None:
        """Announce that a plan fills a target: references to the node decode to the target."""
        self._pairs.planned.append(pair)

    def place(self, value: Value, target: Any) -> None:
        """Let what is decoded of `value` be placed as `target` is, whose place it takes."""
        node = self.follow(value)
        if type(node) is Node:
            self._in_place.pair(node, target)

    def stands_for(self, node: Node, target: Any) -> None:
        """Let references to `node` decode to `target`; the node itself is not decoded."""
        if node.id is not None:  # otherwise nothing refers to it
            self._live.append((node, target))

    def known(self, node: Any, target: Any) -> bool:
        """Whether `becomes` was said of them."""
        return self._becoming.get(id(node)) is target

    def becomes(self, node: Node, target: Any) -> bool:
        """Take note that `target` becomes exactly what `node` describes. False if it cannot, because one
        object was saved where two are here, or two where one is here."""
        source = self._sources.setdefault(id(target), node)
        return self._becoming.setdefault(id(node), target) is target and source is node

    def read(self, progress: Progress | None, bring: Bring) -> tuple[Decoder, int]:
        """Read and verify all wanted and held values. Returns a decoder for them, and the number of bytes.
        `bring` is called before that with the names of all tensors, and boxes of others.

        Raises UntrustedError before reading unless all classes that they ask for are trusted.
        """
        standing = self._settled()
        placed = {*self._in_place.placed, *self._pairs.plain, *(id(pair.node) for pair in standing)}
        found = uncollected(self._reached, placed)
        names = list(dict.fromkeys(item.name for item in found if type(item) is Tensor))
        for name in names:
            self.entry(Tensor(name))
        for pair in {id(each): each for each in (*self._pairs.kept, *self._pairs.planned)}.values():
            for ref, box in pair.boxes:
                self.want_box(ref, box)
        nodes = check(found, names, self.where)
        policy.audit(nodes, self._allowed, self.where)
        bring(names, self._boxes)
        self._opened.tensors.verify(names, progress, self._boxes)
        decoder = Decoder(
            nodes, self.batches, self._opened.tensors, self.where, self._budget,
            versions=self._opened.versions, allowed=self._allowed,
        )  # fmt: skip
        for node, target in self._live:
            decoder.keep(node, target)
        for pair in standing:
            decoder.stand_in(pair.node, pair.target)
        for node, target, _ in self._pairs.plain.values():
            decoder.stand_in(node, target)
        for node, made in self._in_place.made(decoder):
            decoder.stand_in(node, made)
        self._conflicts.check(self._pairs.planned, decoder)
        for pair in self._pairs.at_odds(decoder):
            decoder.stand_in(pair.node, decoder(pair.needs))
        return decoder, sum(self._opened.tensors.info(name).length for name in names)

    def _settled(self) -> list[Pair]:
        """The pairs whose targets stand for nodes."""
        try:
            live = {id(node) for node, _ in self._live}
            return uncollected(self._pairs.settle, self._wanted, self._held, live)
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self.not_understood(error) from error

    def changes(self, decoder: Decoder) -> list[Callable[[], None]]:
        """The functions that fill the objects that stay, once everything has been read."""
        decoder.budget.charge(steps=len(self._pairs.plain))
        return [*(pair.ready(decoder) for pair in self._pairs.kept), self._pairs.fill_plain]

    def _reached(self, standing: set[int]) -> list[Node | Tensor]:
        """Every node and tensor that decoding will visit, each node once."""
        kept = standing | {id(node) for node, _ in self._live}
        batches = {name.rpartition("/")[2] for name in self.batches}
        needed = [pair.needs for pair in self._pairs.kept]
        stack: list[Any] = [*self._wanted, *self._held, *needed][::-1]
        found: list[Node | Tensor] = []
        while stack:
            value = stack.pop()
            if type(value) is Reference:
                value = self.follow(value)
            if type(value) is Node:
                if id(value) in kept:
                    continue
                kept.add(id(value))
                found.append(value)
                if value.codec in batches and type(value.state) is list and value.state:
                    stack += [value.state, self.batches.get(str(value.state[0]))]
                    continue
                value = value.state
            if type(value) is Tensor:
                found.append(value)
            elif isinstance(value, (list, dict)):
                within = value if isinstance(value, list) else value.values()
                if not SCALARS.issuperset(map(type, within)):
                    stack += [item for item in [*within][::-1] if type(item) not in SCALARS]
            elif type(value) not in SCALARS:
                stack.append(value)
        return found


def _on_fresh_stacks(plan: Plan) -> Plan:
    """A plan that is carried out as deep as it was made."""
    ready = plan.ready
    if ready is None:
        return plan

    def readied(decoder: Decoder) -> Callable[[], None]:
        return partial(on_fresh_stack, on_fresh_stack(ready, decoder))

    return replace(plan, ready=readied)
