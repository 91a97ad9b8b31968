"""Which objects in containers stay the same objects: each takes the value that was saved under its key, so
that other references to it remain valid. Whatever was shared when saved is shared again, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from saver.codec import Decoder
from saver.restoring.memory import Memory, Storage, agree, overlapping
from saver.restoring.reach import Reach, root_of
from saver.tensors import Box
from saver.tree import Node, Reference, Tensor, Value

if TYPE_CHECKING:
    from saver.restoring.in_place import InPlace
    from saver.restoring.saved import Saved


class Pair(msgspec.Struct, frozen=True, eq=False):
    """A saved node, and the existing object that can become what it describes.

    `needs` are the values to decode for that, `boxes` the boxes of tensors to read otherwise, and `ready` is
    as in a `Plan`. For a container, `within` pairs
    the saved values in it with the objects in their places. `memory` is that of an array or tensor. If the
    target `stands` for the node, references to the node decode to it.
    """

    node: Node
    target: Any
    needs: Any
    ready: Callable[[Decoder], Callable[[], None]]
    within: Sequence[tuple[Value, Any]] = ()
    memory: Memory | None = None
    stands: bool = True
    boxes: Sequence[tuple[Tensor, Box]] = ()

    @property
    def storage(self) -> Storage | None:
        """The layout of a tensor in its storage; None for other objects."""
        return None if self.memory is None else self.memory.storage


class Pairs:
    """All pairs of one restore. The `planned` ones are always filled; others are `kept` only if that is
    sound.

    `roots` are values and the objects in their places; `taken` are the ids of the targets of plans.
    """

    def __init__(self, saved: Saved, in_place: InPlace) -> None:
        self._saved, self._in_place = saved, in_place
        self.roots: list[tuple[Value, Any]] = []
        self.planned: list[Pair] = []
        self.taken: set[int] = set()
        self.kept: list[Pair] = []
        self.plain: dict[int, tuple[Node, Any, Any]] = {}
        """By the ids of their nodes, those that hold no others, with their targets and what will be in these.
        There may be very many, and nothing else needs to be known of them."""
        self._by_node: dict[int, Pair] = {}
        self._standing: set[int] = set()

    def settle(self, wanted: Iterable[Value], held: Iterable[Value], standing: set[int]) -> list[Pair]:
        """Decide which pairs are kept, and return those whose targets stand for their nodes. For nodes in
        `standing`, another object does already."""
        for pair in self.planned:
            if pair.stands and id(pair.node) not in standing:
                self._by_node.setdefault(id(pair.node), pair)
        found = self._matched(standing)
        if not (self._by_node or self.plain):
            return []
        reach = Reach(self._saved, wanted, held, standing)
        if not reach.looked_into.isdisjoint(self.plain):
            self.plain = {at: each for at, each in self.plain.items() if at not in reach.looked_into}
        chosen = [pair for pair in self._by_node.values() if id(pair.node) not in reach.looked_into]
        own = set(map(id, found))
        planned = [pair for pair in chosen if id(pair) not in own]
        found = [pair for pair in chosen if id(pair) in own]
        self._standing = standing | {id(pair.node) for pair in (*planned, *found)}
        self.kept = self._apart(self._sharing(found, reach))
        return [*planned, *self.kept]

    def _matched(self, standing: set[int]) -> list[Pair]:
        """Pairs in which each node and each object occurs at most once: the first that fits, in the order
        of the tree."""
        found: list[Pair] = []
        targets = self.taken.copy()
        stack, met = self.roots[::-1], set[tuple[int, int]]()
        while stack:
            value, target = stack.pop()
            node = self._saved.follow(value) if type(value) is Reference else value
            if type(node) is not Node or (both := (id(node), id(target))) in met:
                continue
            met.add(both)
            if isinstance(target, tuple):
                stack += _in_tuple(node, target)[::-1]
            elif not (
                both[0] in self._by_node or both[0] in standing or both[0] in self.plain or both[1] in targets
            ):
                content = self._in_place.content(node, target)
                if content is not None:
                    self.plain[both[0]] = node, target, content
                    targets.add(both[1])
                    continue
                pair = self._in_place.pair(node, target)
                if pair is not None:
                    self._by_node[both[0]] = pair
                    targets.add(both[1])
                    found.append(pair)
                    if pair.within:
                        stack += pair.within[::-1]
        return found

    def fill_plain(self) -> None:
        """Fill the targets of plain nodes."""
        for _, target, content in self.plain.values():
            self._in_place.fill(target, content)

    def _sharing(self, found: list[Pair], reach: Reach) -> list[Pair]:
        """The pairs, without the tensors that would not share their storages as the saved ones did."""
        claims: defaultdict[int, list[tuple[int, int, Storage]]] = defaultdict(list)
        for pair in (*self.planned, *found):
            if pair.storage is not None:
                claims[pair.storage.root].append((id(pair), id(pair.node), pair.storage))
        members: defaultdict[int, set[int]] = defaultdict(set)
        for node in reach.tensors.values():
            members[id(root_of(node, self._saved.follow))].add(id(node))
        lost, owners = set[int](), dict[tuple[str, int], int]()
        for root, claimed in claims.items():
            group = [claim for claim in claimed if owners.setdefault(claim[2].place, root) == root]
            lost |= {claim[0] for claim in claimed} - {claim[0] for claim in group}
            alike = len(group) == 1 or all(own.lies_as(group[0][2]) for _, _, own in group)
            if alike and members[root] <= {node for _, node, _ in group}:
                continue
            # the others will be views of the one that stands for the root, if there is one
            stands = root in self._standing
            anchor = next((own for _, node, own in group if stands and node == root and own.whole), None)
            lost |= {pair for pair, _, own in group if anchor is None or not own.lies_as(anchor)}
        return [pair for pair in found if id(pair) not in lost]

    def _apart(self, found: list[Pair]) -> list[Pair]:
        """The pairs, without those that write to the memory of others if that memory was not shared when
        saved, or cannot be compared."""
        pairs = [pair for pair in (*self.planned, *found) if pair.memory is not None]
        memories = [pair.memory for pair in pairs if pair.memory is not None]
        own, lost = {id(pair) for pair in found}, set[int]()
        for one, other in sorted(overlapping(memories)):
            if id(pairs[other]) not in own or _key(pairs[one]) in lost:
                continue
            first, second = memories[one], memories[other]
            if first.storage is not None and second.storage is not None:
                clash = first.storage.root != second.storage.root
            else:
                clash = first.saved is None or second.saved is None
            if clash:
                lost.add(_key(pairs[other]))
        return [pair for pair in found if _key(pair) not in lost]

    def at_odds(self, decoder: Decoder) -> list[Pair]:
        """Stop keeping arrays that would write different values to memory that others fill too. Returns
        them."""
        arrays = [pair for pair in self.kept if pair.memory is not None and pair.storage is None]
        others = [pair for pair in self.kept if pair.storage is not None]
        pairs = [pair for pair in (*self.planned, *others, *arrays) if pair.memory is not None]
        memories = [pair.memory for pair in pairs if pair.memory is not None]
        first, lost = len(pairs) - len(arrays), dict[int, Pair]()
        for one, other in sorted(overlapping(memories), key=lambda both: both[::-1]):
            if other < first or one in lost or other in lost:
                continue
            if not agree(memories[one], memories[other], decoder):
                lost[other] = pairs[other]
        self.kept = [pair for pair in self.kept if pair not in lost.values()]
        return list(lost.values())


def _key(pair: Pair) -> int:
    """The key under which pairs are kept together or not at all: tensors that shared a storage have one."""
    return id(pair) if pair.storage is None else pair.storage.root


def _in_tuple(node: Node, target: tuple[Any, ...]) -> list[tuple[Value, Any]]:
    """The items of a saved tuple and of the target: tuples are rebuilt from objects that stay. Of named ones,
    the fields stand in the state, or last in it after what says which tuple it is."""
    state: Any = node.state
    fields = getattr(target, "_fields", None)
    if fields is not None and node.codec != "tuple":
        named = state[-1] if type(state) is list and state else state
        if type(named) is not dict or set(named) != {*fields}:
            return []
        state = [named[name] for name in fields]
    elif node.codec != "tuple":
        return []
    return list(zip(state, target, strict=True)) if type(state) is list and len(state) == len(target) else []
