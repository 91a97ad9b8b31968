"""The contract of a restorer, and its view of a version."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import msgspec

from saver import trust as policy
from saver.codec import Decoder, check, codec_modules
from saver.errors import DoesNotFitError, IncompatibleError, SaverError
from saver.restoring.naming import Naming
from saver.restoring.pairing import Pair, Pairs
from saver.restoring.report import PartReport
from saver.storage import Progress
from saver.tree import Node, Reference, Tensor, Value

if TYPE_CHECKING:
    from saver.opened import Opened
    from saver.tensors import TensorInfo


class Plan(msgspec.Struct, frozen=True):
    """What will happen to a target, as far as that is known without reading bytes.

    `ready` is called once all bytes have been read and verified. It decodes, makes the remaining checks,
    changes nothing, and returns the function that changes the target; it is None if nothing fits.
    `may_refuse` says that this function calls code that may raise, such as any `load_state_dict`; it is
    called before the others.
    """

    report: PartReport
    ready: Callable[[Decoder], Callable[[], None]] | None = None
    may_refuse: bool = False


class Restorer(ABC):
    """Restores one kind of object in place.

    A codec module may list its restorers in `RESTORERS`, beside its `CODECS`.
    """

    live: ClassVar[bool] = True
    """Whether such an object in a dict or list must fit the value that was saved there. Otherwise it is
    filled in place if possible, and replaced if not."""

    @abstractmethod
    def accepts(self, cls: type) -> bool:
        """Whether this restorer restores into instances of `cls`."""

    @abstractmethod
    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        """How `value`, which may come from an attacker, would be put into `target`. Changes nothing.

        Announce what `ready` will decode with `saved.want`. Raise through `saved.refuse` if the kinds
        differ; names and shapes that do not fit belong in the report.
        """

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        """How `target`, which is in the place of `node`, is changed into exactly what `load` would return;
        None if it cannot be. Changes nothing."""
        return None


def restorer_for(cls: type) -> Restorer | None:
    """The restorer for instances of `cls`: of its own family first, then of its bases'."""
    for module in codec_modules(cls):
        for restorer in getattr(module, "RESTORERS", ()):
            if restorer.accepts(cls):
                return restorer  # type: ignore[no-any-return]
    return None


class Saved:
    """One version, as restorers see it: trees that they inspect, and a record of what will be decoded."""

    def __init__(self, opened: Opened, naming: Naming, strict: bool, limit: int | str | None = None) -> None:
        self._budget = opened.budget(limit)
        self.strict = strict
        self.naming = naming
        self._opened = opened
        self._steps: list[str] = []
        self._wanted: list[Value | dict[str, Any]] = []
        self._held: list[Value | dict[str, Any]] = []
        self._pairs = Pairs(self)
        self._restorers: dict[type, Restorer | None] = {}
        self._live: list[tuple[Node, Any]] = []
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
        if restorer is None:
            self.refuse(f"a {kind(target)} cannot be restored in place; take it from `load`")
        try:
            return restorer.plan(value, target, self)
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self.not_understood(error) from error

    def not_understood(self, error: Exception, where: str = "") -> IncompatibleError:
        """The error for a saved tree that could not be read as what it should be."""
        parts = self._opened.manifest.parts.values()
        versions = self._opened.versions(package for part in parts for package in part.packages)
        facts = f"{type(error).__name__}: {error}{versions}"
        return IncompatibleError(f"{where or self.where} is not understood here: {facts}")

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

    def paired(self, node: Node, target: Any) -> Pair | None:
        """The pair that the target's restorer makes from a node and a target; None if it cannot."""
        cls = type(target)
        if cls not in self._restorers:
            self._restorers[cls] = restorer_for(cls)
        restorer = self._restorers[cls]
        if restorer is None or restorer.live:
            return None
        try:
            return restorer.pair(node, target, self)
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self.not_understood(error) from error

    def stands_for(self, node: Node, target: Any) -> None:
        """Let references to `node` decode to `target`; the node itself is not decoded."""
        if node.id is not None:  # otherwise nothing refers to it
            self._live.append((node, target))

    def read(self, trust: Iterable[str], progress: Progress | None) -> tuple[Decoder, int]:
        """Read and verify all wanted and held values. Returns a decoder for them, and the number of bytes.

        Raises UntrustedError before reading unless all classes that they ask for are trusted.
        """
        standing = self._settled()
        found = list(self._reached({id(pair.node) for pair in standing}))
        names = list(dict.fromkeys(item.name for item in found if type(item) is Tensor))
        for name in names:
            self.entry(Tensor(name))
        nodes = check(found, names, self.where)
        policy.audit(nodes, trust, self.where)
        self._opened.tensors.verify(names, progress)
        decoder = Decoder(
            nodes,
            self.batches,
            self._opened.tensors,
            self.where,
            self._budget,
            versions=self._opened.versions,
        )
        for node, target in self._live:
            decoder.keep(node, target)
        for pair in standing:
            decoder.stand_in(pair.node, pair.target)
        for pair in self._pairs.at_odds(decoder):
            decoder.stand_in(pair.node, decoder(pair.needs))
        return decoder, sum(self._opened.tensors.info(name).length for name in names)

    def _settled(self) -> list[Pair]:
        """The pairs whose targets stand for nodes."""
        try:
            return self._pairs.settle(self._wanted, self._held, {id(node) for node, _ in self._live})
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self.not_understood(error) from error

    def changes(self, decoder: Decoder) -> list[Callable[[], None]]:
        """The functions that fill the objects that stay, once everything has been read."""
        return [pair.ready(decoder) for pair in self._pairs.kept]

    def _reached(self, standing: set[int]) -> Iterator[Node | Tensor]:
        """Every node and tensor that decoding will visit, each node once."""
        kept = standing | {id(node) for node, _ in self._live}
        batches = {name.rpartition("/")[2] for name in self.batches}
        needed = [pair.needs for pair in self._pairs.kept]
        stack: list[Any] = [*self._wanted, *self._held, *needed][::-1]
        while stack:
            value = self.follow(stack.pop())
            if type(value) is Node:
                if id(value) in kept:
                    continue
                kept.add(id(value))
                yield value
                stack.append(value.state)
                if value.codec in batches and type(value.state) is list and value.state:
                    stack.append(self.batches.get(str(value.state[0])))
            elif type(value) is Tensor:
                yield value
            elif isinstance(value, (list, dict)):
                stack.extend(reversed(value if isinstance(value, list) else value.values()))


def ask(where: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a method of the target. Raises DoesNotFitError if it fails, since that does not mean that the
    saved bytes are damaged."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        name = getattr(function, "__qualname__", function)
        raise DoesNotFitError(f"{where}: {name} failed: {type(error).__name__}: {error}") from error


def kind(target: Any) -> str:
    """The name of a target's class, as messages and reports show it."""
    cls = type(target)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
