"""What a rank tells rank 0 of what it holds, and the plan that rank 0 keeps from one save to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from saver.distributed.planning import WORTH_CUTTING, Described, Held, Task, homes, placed, plan, tiles
from saver.repo import grid
from saver.tensors import Box


class Said(msgspec.Struct, frozen=True):
    """As in Described; no `tensors` if they are those of the save before. If nothing is new, a rank says
    nothing (""). What runs log and count changes in each save, so the parts are most often new."""

    parts: dict[str, str]
    whole: bool
    tensors: dict[str, Held] | None


def said(before: Described | None, now: Described) -> bytes:
    """What a rank says that holds this now, and said that it held the other thing before."""
    if before == now:
        return b""
    tensors = None if before is not None and before.tensors == now.tensors else now.tensors
    return msgspec.json.encode(Said(now.parts, now.whole, tensors))


class Plans:
    """In rank 0: what every rank holds (`held`), and what it stages. `placed` is as in `planning.placed` for
    the grid form, and empty in the other one.
    """

    def __init__(self) -> None:
        self.held: list[Described] = []
        self._tasks: list[Task] = []
        self.placed: dict[str, tuple[Any, ...]] = {}

    def tasks(self, where: str, found: Sequence[bytes]) -> list[Task | None]:
        """What each rank stages, by what they said; None if it knows, as it is the same as before. Errors as
        in `plan`; after one, all ranks have to say everything again."""
        if not any(found):
            return [None] * len(found)
        heard = [msgspec.json.decode(each, type=Said) if each else None for each in found]
        now = [_heard(each, self.held[rank : rank + 1]) for rank, each in enumerate(heard)]
        tasks = self._adapted(where, now) if self._tasks else None
        if tasks is None:
            tasks = plan(where, now)
            many = sum(len(boxes) for task in tasks for boxes in task.tensors.values()) > grid.BOXES
            self.placed = placed(now, tasks) if many else {}
        before: Sequence[Task | None] = self._tasks or [None] * len(tasks)
        self.held, self._tasks = now, tasks
        return [
            None if task == old and (each is None or each.tensors is None) else task
            for task, old, each in zip(tasks, before, heard, strict=True)
        ]

    def _adapted(self, where: str, now: Sequence[Described]) -> list[Task] | None:
        """The tasks of before, with what little changed of tensors that one rank alone holds, such as the log
        of a run. None if more changed than that."""
        if any({*a.parts} != {*b.parts} or a.whole != b.whole for a, b in zip(self.held, now, strict=True)):
            return None
        homes(where, now)
        tasks, kept = list(self._tasks), dict(self.placed)
        for rank, (old, new) in enumerate(zip(self.held, now, strict=True)):
            changed = small_changes(old.tensors, new.tensors) if old.tensors is not new.tensors else []
            if changed is None or any(
                name in each.tensors
                for name in changed
                for all_of_them in (self.held, now)
                for other, each in enumerate(all_of_them)
                if other != rank
            ):
                return None
            for name in changed:
                tiles(where, now, name, rank)
            if changed:
                tasks[rank] = adapted(tasks[rank], changed, new.tensors)
            if bool(tasks[rank].tensors) != bool(self._tasks[rank].tensors):
                return None  # it has the first or the last of its tensors: pages have other numbers
            page = sum(1 for task in tasks[:rank] if task.tensors) if self.placed and changed else 0
            for name in changed if self.placed else ():
                kept.pop(name, None)
                if name in new.tensors:
                    held = new.tensors[name]
                    kept[name] = held.dtype, tuple(held.shape), [(page, [Box(*box) for box in held.boxes])]
        self.placed = kept
        return tasks


def small_changes(old: Mapping[str, Held], new: Mapping[str, Held]) -> list[str] | None:
    """The names of tensors that a rank holds otherwise than before; None if those are many bytes."""
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    size = sum(held[name].size for held in (old, new) for name in changed if name in held)
    return None if size > WORTH_CUTTING else changed


def adapted(task: Task, changed: Sequence[str], held: Mapping[str, Held]) -> Task:
    """A task with all that a rank holds of the tensors that changed."""
    others = {name: boxes for name, boxes in task.tensors.items() if name not in changed}
    mine = {name: held[name].boxes for name in changed if name in held and held[name].boxes}
    complete = [name for name in task.complete if name not in changed]
    complete += [name for name, boxes in mine.items() if tuple(boxes[0][1]) == tuple(held[name].shape)]
    return replace(task, tensors=others | mine, complete=complete)


def _heard(said: Said | None, before: Sequence[Described]) -> Described:
    """What a rank holds, by what it said, and what it held before."""
    if said is None or said.tensors is None:
        (known,) = before
        return known if said is None else replace(known, parts=said.parts, whole=said.whole)
    return Described(said.parts, said.whole, said.tensors)
