"""The contract of a restorer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from saver.codec import Decoder, codec_modules
from saver.errors import with_article
from saver.restoring.pairing import Pair
from saver.restoring.report import PartReport
from saver.tree import Node, Value

if TYPE_CHECKING:
    from saver.restoring.saved import Saved


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

    def content(self, node: Node, target: Any) -> Any:
        """What `fill` puts into `target`, which is in the place of `node`, to make it exactly what `load`
        would return; None if that takes a `pair`. No object may be decoded for it: this is for very many
        small containers of scalars. `node` must have no id. Changes nothing."""
        return None

    def fill(self, target: Any, content: Any) -> None:  # noqa: B027 - for those that have a `content`
        """Put what `content` returned into `target`. It cannot fail."""

    def alike(self, node: Node, target: Any, saved: Saved) -> Callable[[Decoder], Any] | None:
        """What makes another object, placed as `target` is, of what `node` describes: for objects that cannot
        be changed. It reads by itself what it needs, and checks it. None if the node is decoded as always.
        Changes nothing."""
        return None

    def refusal(self, target: Any) -> str | None:
        """Why nothing can be restored into `target`, whatever is saved; None if something can."""
        return None

    def within(self, target: Any) -> Iterable[tuple[Any, Any]]:
        """The objects that a target holds, by name or key, if an exact restore fills them in place, too."""
        return ()

    def replaced(self, target: Any) -> Iterable[tuple[Any, Any]]:
        """The other objects that a target holds, by name: those that an exact restore replaces, unless there
        are live ones in them."""
        return ()


class Target(ABC):
    """A target that plans itself how it is filled: what a framework keeps beside an object."""

    @abstractmethod
    def plan(self, value: Value, saved: Saved) -> Plan:
        """As Restorer.plan does."""


def restorer_for(cls: type) -> Restorer | None:
    """The restorer for instances of `cls`: of its own family first, then of its bases'."""
    found = _by_type.get(cls)
    if found is None:
        every = (each for module in codec_modules(cls) for each in getattr(module, "RESTORERS", ()))
        found = next((each for each in every if each.accepts(cls)), None)
        if found is not None:
            _by_type[cls] = found
    return found


_by_type: dict[type, Restorer] = {}


def kind(target: Any) -> str:
    """The name of a target's class, as messages and reports show it."""
    cls = type(target)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def a_kind(target: Any) -> str:
    """The same with its article."""
    return with_article(kind(target))
