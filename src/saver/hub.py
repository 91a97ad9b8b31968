"""The contract of a hub: a place on a network that takes versions and gives them back, and is not a store.

A hub is a module in `hubs/` that is named after the scheme of its addresses, such as `oci://…`, and has
`open_hub(address) -> Hub`. `push` and `pull` of a store take its address as they take another store.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from saver import registry
from saver.clear import seals, warn_of_place, with_a_key
from saver.repo.format import is_sealed
from saver.storage import Progress, Storage

if TYPE_CHECKING:  # imported when they are called: `import saver` stays fast
    from saver.pushing import Pushed
    from saver.repo.repository import Repository
    from saver.repo.version import Version

T = TypeVar("T")


class Hub(ABC):
    """A place at an address. Its `str` is that address, for messages, without what could be secret."""

    @abstractmethod
    def push(
        self, source: Repository, ref: str | Version, model: str | None = None, *, history: bool = True,
        tags: bool = True, progress: Progress | None = None, to: Any = None, key: Any = None,
    ) -> Pushed:  # fmt: skip
        """Push the version that `ref` names, as `saver.pushing.push` does to a store. All of it appears there
        at once, or nothing does. `to` names those for whom it is sealed; `key` opens what is there already.
        Raises CannotWriteError."""

    @abstractmethod
    def reading(self, key: Any = None) -> AbstractContextManager[Storage]:
        """The storage of a store with what is there, to read from for as long as the context lasts. `key`
        opens it, if it is sealed otherwise than as a store.

        Nothing of it is trusted: every object is held against the hash that the hub gives, and the reader
        verifies those of Saver. Raises NotFoundError if there is nothing, DamagedError if bytes are
        not those that were sent, IncompatibleError if Saver did not send them, CannotReadError.
        """


def warn_of_clear(source: Repository, hub: Hub) -> None:
    """Warn if a sealed store is pushed in clear: there, what was hidden here can be read."""
    if source.storage.mask is not None:
        warn_of_place(source.storage, hub, "pass to= (--to KEY.pub) to seal it for those who may")


def not_sealed_for(to: Any, source: Repository, target: Repository) -> Repository:
    """The store that is pushed to. Raises ValueError if that should be sealed for somebody; warns if what
    comes from a sealed store will be in clear there."""
    if to is not None:
        raise ValueError(
            "to: only what is pushed to a hub is sealed for somebody; a store seals for its own holders: "
            "make it with a key, and add them (saver key add)"
        )
    if is_sealed(source.storage):
        source.open()  # one who cannot is refused, and not warned
        if not seals(target):
            warn_of_place(source.storage, target.storage, with_a_key(target))
    return target


def hub_at(place: Any) -> Hub | None:
    """The hub whose address this is; None for anything else. Raises ValueError if it is a wrong address of a
    hub, and IncompatibleError if the hub needs a package that is not installed."""
    scheme, separator, _ = place.partition("://") if isinstance(place, str) else ("", "", "")
    if not separator or scheme not in registry.names("hubs"):
        return None
    hub: Hub = registry.find("hubs", scheme).open_hub(place)
    return hub


@contextmanager
def read_from(
    name: str, place: Any, opened: Callable[[str, Any, Any], T], key: Any = None, own: Any = None
) -> Iterator[T]:
    """What the argument `name` is, `opened` with a `key`: the place itself, or the storage of a store with
    what is at a hub, while the context lasts. What is sealed at a hub may also be so for the `own` key."""
    hub = hub_at(place)
    if hub is None:
        yield opened(name, place, key)
        return
    with hub.reading(own if key is None else key) as storage:
        if storage.seals:  # it was opened with a key
            key = None
        elif key is None and is_sealed(storage):
            key = own
        yield opened(name, storage, key)
