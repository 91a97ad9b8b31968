"""Which objects are filled where they are, and what takes the place of those that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from saver.codec import Decoder
from saver.errors import SaverError
from saver.restoring.contract import Restorer, restorer_for
from saver.restoring.pairing import Pair
from saver.tree import Node

if TYPE_CHECKING:
    from saver.restoring.saved import Saved


class InPlace:
    """What the restorers of targets say about them. A restorer is looked up once for each class."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._restorers: dict[type, tuple[Restorer, bool] | None] = {}
        self.placed: dict[int, tuple[Node, Callable[[Decoder], Any]]] = {}
        """By the ids of their nodes, what makes other objects that are placed as the targets are."""

    def pair(self, node: Node, target: Any) -> Pair | None:
        """The pair that the target's restorer makes from a node and a target; None if it cannot."""
        found = self._restorer(type(target))
        if found is None:
            return None
        restorer, asks = found
        try:
            made = restorer.alike(node, target, self._saved) if asks else None
            if made is not None:
                self.placed.setdefault(id(node), (node, made))
            return restorer.pair(node, target, self._saved)
        except (SaverError, MemoryError):
            raise
        except Exception as error:
            raise self._saved.not_understood(error) from error

    def content(self, node: Node, target: Any) -> Any:
        """What `fill` puts into the target, if that is known without decoding anything; None otherwise."""
        found = self._restorer(type(target))
        return None if found is None else found[0].content(node, target)

    def fill(self, target: Any, content: Any) -> None:
        """Put the content that `content` returned into the target."""
        found = self._restorer(type(target))
        if found is not None:
            found[0].fill(target, content)

    def made(self, decoder: Decoder) -> Iterator[tuple[Node, Any]]:
        """The objects that are placed as targets are, with their nodes."""
        for node, make in self.placed.values():
            try:
                yield node, make(decoder)
            except (SaverError, MemoryError):
                raise
            except Exception as error:
                raise self._saved.not_understood(error) from error

    def _restorer(self, cls: type) -> tuple[Restorer, bool] | None:
        """The restorer of a class, and whether it makes objects alike; None if it fills none in place."""
        if cls not in self._restorers:
            found = restorer_for(cls)
            if found is None or found.live:
                self._restorers[cls] = None
            else:
                self._restorers[cls] = found, type(found).alike is not Restorer.alike
        return self._restorers[cls]
