"""What records and versions add to the map of who needs what, which `users.py` describes: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from saver.repo.events import Commit, Condemn, Event, Relocate
from saver.repo.manifest import manifest_key
from saver.repo.objects import is_collectable, tree_key
from saver.repo.state.facts import VersionState


def changes(event: Event) -> dict[str, Any]:
    """What a record adds to the map of who needs what."""
    match event:
        case Commit():
            return needs(event, event.model, event.number)
        case Condemn():
            return condemned(event.objects)
        case Relocate():
            return links(event) | condemned(event.objects)
    return {}


def needs(version: VersionState | Commit, model: str, number: int) -> dict[str, Any]:
    """What a version adds: the objects that it needs."""
    manifest = pack_in(manifest_key(version.manifest, version.file))
    needed = (f"need {each} " for each in (*version.packs, *map(tree_key, version.trees)))
    return {f"{each}{model} {number:012}": True for each in (*needed, f"manifest {manifest} ")}


def links(event: Event) -> dict[str, Any]:
    """What a record adds about bytes that moved."""
    moves = event.moves.items() if isinstance(event, Relocate) else ()
    return {f"from {move[2]} {pack}": True for pack, some in moves for move in some}


def condemned(objects: Iterable[str]) -> dict[str, Any]:
    """What is added about objects that were condemned."""
    return {f"gone {key}": True for key in objects if is_collectable(key)}


def pack_in(key: str) -> str:
    """The name of the pack with this key."""
    return key.removeprefix("packs/").removesuffix(".safetensors")


def reached(packs: Iterable[str], next_to: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """These packs, and all that are reached from them, each once."""
    waiting = list(dict.fromkeys(packs))
    found = set(waiting)
    while waiting:
        each = waiting.pop()
        yield each
        for other in next_to(each):
            if other not in found:
                found.add(other)
                waiting.append(other)
