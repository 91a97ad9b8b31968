"""What the log says, from reading all of it and nothing else. `check` compares the rest with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from saver.errors import IncompatibleError
from saver.repo.events import Commit, Delete, Label, Note, Relocate, Roles, Sign, Tag
from saver.repo.log import Record
from saver.repo.state.facts import ModelState, VersionState
from saver.repo.state.rights import NOBODY, Granted, refusal, roles_after
from saver.repo.state.values import annotated, signed_version, version_state, with_version, without_versions
from saver.repo.version import Version, from_state


class Replay:
    """The state after the records that were read so far: live versions, tags, and for which version each
    pack was written.
    """

    def __init__(self) -> None:
        self.head = 0
        self.models: dict[str, ModelState] = {}
        """All models that ever had a version."""
        self._live: dict[str, dict[int, VersionState]] = {}
        """By model and number; of each model the newest is last."""
        self._tags: dict[str, dict[str, int]] = {}
        self._first: dict[str, tuple[str, int]] = {}
        self._moved: set[str] = set()
        self.roles: Granted = NOBODY
        self.refused: dict[int, str] = {}
        """The records that are void, each with the reason."""

    def follow(self, record: Record) -> None:
        """Apply the next record."""
        self.head = record.number
        where = f"record {record.number}"
        reason = refusal(record, self.roles, lambda model: self._tags.get(model, {}))
        if reason:
            self.refused[record.number] = reason
            return
        match record.event:
            case Commit() as event:
                state = version_state(record, event, where)
                model = self.models.get(event.model, ModelState())
                self.models[event.model] = with_version(model, event, where)
                self._live.setdefault(event.model, {})[event.number] = state
                self._tags.setdefault(event.model, {}).update(dict.fromkeys(event.tags, event.number))
                for pack in event.packs:
                    self._first.setdefault(pack, (event.model, event.number))
            case Tag() as event if event.number is not None:
                self._tags.setdefault(event.model, {})[event.tag] = event.number
            case Tag() as event:
                self._tags.get(event.model, {}).pop(event.tag, None)
            case Label() | Note() | Sign() as event:
                self._annotate(event, where)
            case Delete() as event:
                self._delete(event.model, set(event.numbers), where)
            case Roles() as event:
                self.roles = roles_after(self.roles, event)
            case Relocate() as event:
                self._moved.update(move[2] for moves in event.moves.values() for move in moves)

    def _annotate(self, event: Label | Note | Sign, where: str) -> None:
        model, live = self.models.get(event.model), self._live.get(event.model, {})
        version = live.get(event.number or 0)
        if isinstance(event, Sign) and version is not None:
            live[event.number] = signed_version(version, event, where)
        elif isinstance(event, Sign):
            raise IncompatibleError(f"{where} is about what is not there", rule="5.08")
        elif event.number is None and model is not None:
            self.models[event.model] = annotated(model, event, where)
        elif event.number is not None and version is not None:
            live[event.number] = annotated(version, event, where)
        else:
            raise IncompatibleError(f"{where} is about what is not there")

    def _delete(self, model: str, numbers: set[int], where: str) -> None:
        if model not in self.models or not all(0 < each <= self.models[model].last for each in numbers):
            raise IncompatibleError(f"{where} deletes versions that never were", rule="5.08")
        live, tags = self._live.get(model, {}), self._tags.get(model, {})
        gone = {
            number: value for number in numbers if (value := live.pop(number, None)) is not None
        }  # fmt: skip
        for tag in [tag for tag, number in tags.items() if number in gone]:
            del tags[tag]
        if gone:
            latest = next(reversed(live), None)
            self.models[model] = without_versions(self.models[model], gone.values(), latest)

    def versions(self) -> dict[str, Version]:
        """The live versions, by ref."""
        tags: dict[tuple[str, int], list[str]] = {}
        for model, named in self._tags.items():
            for tag, number in sorted(named.items()):
                tags.setdefault((model, number), []).append(tag)
        found = (
            from_state(model, number, state, tuple(tags.get((model, number), ())))
            for model, live in self._live.items()
            for number, state in live.items()
        )
        return {str(version): version for version in found}

    def contradicted(
        self, models: Mapping[str, ModelState], versions: Iterable[Version]
    ) -> list[tuple[str, int]]:
        """The models (number 0) and versions of which something else was said than the log says."""
        found, logged = {str(version): version for version in versions}, self.versions()
        differing = [ref for ref in sorted({*found, *logged}) if found.get(ref) != logged.get(ref)]
        refs = [(model, int(number)) for model, _, number in (ref.partition("@") for ref in differing)]
        names = sorted({*models, *self.models})
        return [(name, 0) for name in names if models.get(name) != self.models.get(name)] + refs

    def wrote(self, pack: str, version: Version) -> bool:
        """Whether the pack was written for this version: the first version that needs it, since others can
        only share it later.

        False for packs that a collector wrote, or a save that repaired older versions: versions that share
        bytes may use them with another dtype and shape, and under another name.
        """
        return pack not in self._moved and self._first.get(pack) == (version.model, version.number)
