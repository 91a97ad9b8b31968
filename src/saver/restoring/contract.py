"""What a restorer is, and what it is shown of a version."""

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
from saver.tree import Node, Ref, Tensor, Value

if TYPE_CHECKING:
    from saver.opened import Opened
    from saver.reading.arrays import TensorEntry


class Plan(msgspec.Struct, frozen=True):
    """What will happen to a target, as far as that can be told without reading bytes.

    `ready` is called once all bytes were read and verified. It decodes and checks what is left to check,
    changes nothing, and returns the function that changes the target; None when nothing fits. `may_refuse`
    says that this function calls code that can, as `load_state_dict` of anything; it is called before others.
    """

    report: PartReport
    ready: Callable[[Decoder], Callable[[], None]] | None = None
    may_refuse: bool = False


class Restorer(ABC):
    """Puts what was saved into one kind of object, in place.

    A codec module lists its restorers in `RESTORERS`, beside its `CODECS`; it may have none.
    """

    live: ClassVar[bool] = True
    """Whether what lies in a dict or list must fit what was saved there. Otherwise it is filled in place
    where it can be, and replaced where it cannot."""

    @abstractmethod
    def accepts(self, cls: type) -> bool:
        """Whether this restores into instances of `cls`."""

    @abstractmethod
    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        """How `value`, which may come from an enemy, would be put into `target`. Changes nothing.

        What `ready` will decode is announced with `saved.want`. Raise through `saved.refuse` where the
        kinds differ; names and shapes that do not fit belong in the report.
        """

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        """How `target`, which lies where `node` goes, becomes exactly what `load` would give, in place; None
        where it cannot. Changes nothing."""
        return None


def restorer_for(cls: type) -> Restorer | None:
    """The restorer for instances of `cls`: of its own family first, then of its bases'."""
    for module in codec_modules(cls):
        for restorer in getattr(module, "RESTORERS", ()):
            if restorer.accepts(cls):
                return restorer  # type: ignore[no-any-return]
    return None


class Saved:
    """One version, as restorers see it: trees in which they look around, and what of them will be decoded."""

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
        """What messages call the value that is being planned for: `run@3: optimizer`."""
        return f"{self._opened.where}: {'.'.join(self._steps)}" if self._steps else self._opened.where

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """While a value of this name is planned for."""
        self._steps.append(name)
        yield
        self._steps.pop()

    def plan(self, value: Value, target: Any) -> Plan:
        """The plan of the target's restorer. Raises DoesNotFitError, or IncompatibleError for what no codec
        wrote."""
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
        """What it means that a tree that was saved could not be read for what it should be."""
        parts = self._opened.manifest.parts.values()
        versions = self._opened.versions(package for part in parts for package in part.packages)
        facts = f"{type(error).__name__}: {error}{versions}"
        return IncompatibleError(f"{where or self.where} is not understood here: {facts}")

    def refuse(self, why: str) -> NoReturn:
        """Raise DoesNotFitError for the value that is being planned for."""
        raise DoesNotFitError(f"{self.where}: {why}")

    def follow(self, value: Value) -> Value:
        """The value itself, or the node that it refers to."""
        if type(value) is not Ref:
            return value
        node = self._opened.nodes.get(value.id)
        if node is None:
            raise IncompatibleError(f"{self.where}: a reference to node {value.id}, which is not there")
        return node

    def entry(self, ref: Any) -> TensorEntry:
        """What a `Tensor` is, without reading it."""
        if type(ref) is not Tensor:
            raise ValueError("a tensor is missing")
        try:
            return self._opened.entry(ref.name)
        except KeyError:
            raise IncompatibleError(
                f"{self.where} refers to the tensor {ref.name[:80]!r}, which is not there"
            ) from None

    def peek(self) -> Decoder:
        """Decodes runs of plain values at once, such as the keys of a dict, though nothing was admitted."""
        return Decoder((), {}, self._opened, self.where, self._budget, versions=self._opened.versions)

    def want(self, *values: Value | dict[str, Any] | list[Any]) -> None:
        """Announce what will be decoded, whole: nodes, tensors, or the state of nodes."""
        self._wanted.extend(values)

    def hold(self, *values: Value | dict[str, Any] | list[Any]) -> None:
        """Announce what will be decoded and kept as it is: nobody looks into it before all is restored, so it
        may hold objects that will only be filled by then."""
        self._held.extend(values)

    def stay(self, value: Value, target: Any) -> None:
        """Let `target`, which lies where `value` goes, be filled in place if it can be; likewise what lies
        within it. It is among what decodes to it then; `value` is held."""
        self._pairs.roots.append((value, target))

    def fills(self, pair: Pair) -> None:
        """Announce that a plan fills a target: whoever refers to the node is to get it."""
        self._pairs.planned.append(pair)

    def paired(self, node: Node, target: Any) -> Pair | None:
        """The pair that the target's restorer makes of it, if one can be made."""
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
        """Whoever refers to `node` will get `target`, and the node itself is not decoded."""
        if node.id is not None:  # otherwise nobody refers to it
            self._live.append((node, target))

    def read(self, trust: Iterable[str], progress: Progress | None) -> tuple[Decoder, int]:
        """Read and verify all that is wanted: what decodes it, and how many bytes it was.

        Raises before that unless all classes that it asks for are trusted.
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
            nodes, self.batches, self._opened, self.where, self._budget, versions=self._opened.versions
        )
        for node, target in self._live:
            decoder.keep(node, target)
        for pair in standing:
            decoder.stand_in(pair.node, pair.target)
        for pair in self._pairs.at_odds(decoder):
            decoder.stand_in(pair.node, decoder(pair.needs))
        return decoder, sum(self._opened.entry(name).length for name in names)

    def _settled(self) -> list[Pair]:
        """The pairs whose targets stand for nodes."""
        try:
            return self._pairs.settle(self._wanted, self._held, {id(node) for node, _ in self._live})
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self.not_understood(error) from error

    def changes(self, decoder: Decoder) -> list[Callable[[], None]]:
        """What fills the objects that stay, once all was read."""
        return [pair.ready(decoder) for pair in self._pairs.kept]

    def _reached(self, standing: set[int]) -> Iterator[Node | Tensor]:
        """Every node and tensor that decoding what is wanted will meet, each node once."""
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
    """Call a method of the target. DoesNotFitError when it fails: that is no damage of what was saved."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        name = getattr(function, "__qualname__", function)
        raise DoesNotFitError(f"{where}: {name} failed: {type(error).__name__}: {error}") from error


def kind(target: Any) -> str:
    """What messages and reports call the class of a target."""
    cls = type(target)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
