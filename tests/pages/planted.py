"""Stores whose versions are files that enemies made; their records vouch for every byte."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from msgspec.structs import replace

import saver
from saver.repo.events import Commit
from saver.repo.numbered import PartVersion
from saver.repo.objects import pack_key
from saver.storage import Bytes
from saver.storages.memory import MemoryStorage
from saver.training_log import TrainingLog
from signed import appended

ATTACKS = Path(__file__).parents[1] / "attacks"
sys.path.append(str(ATTACKS))  # whose modules find each other by name

from forge import File, take_apart  # noqa: E402
from mutations import mutate  # noqa: E402

NAMES = "conformance/valid/*.saver", "conformance/invalid/*.saver", "attacks/corpus/*.saver"


def corpus() -> list[Path]:
    """Every file that the fuzzer kept, and those to which readers of the format are held."""
    return [path for names in NAMES for path in sorted(ATTACKS.parent.glob(names))]


class Planted:
    """A store in memory, and files as its versions."""

    def __init__(self, folder: Path) -> None:
        self.store, self._folder, self._count = saver.Saver(MemoryStorage("planted")), folder, 0
        log = TrainingLog()
        for step in range(40):
            log.append(step, loss=1 / (step + 1), val_loss=2 / (step + 1), epoch=step // 10)
        log.mark("note", 20)
        made = {"log": log, "net": {"w": np.arange(600.0).reshape(20, 30), "o": {"rate": 0.1, "name": "a"}}}
        self.store.save("honest", made, metrics={"loss": 0.1})
        event = self.store._repo.state.log.read(1)[0].event
        assert isinstance(event, Commit)
        self._event = event
        self._honest = self._taken(self.store.storage.read(pack_key(event.file)))

    def _taken(self, data: bytes) -> File:
        path = self._folder / "honest.saver"
        path.write_bytes(data)
        return take_apart(path)

    def add(self, data: bytes, parts: Any = None) -> str:
        """The ref of a new version that is this file, with these parts."""
        self._count += 1
        name, pack = f"evil-{self._count:04}", f"{self._count:032x}"
        self.store.storage.put(pack_key(pack), Bytes(data))
        manifest = data[41:105].decode("ascii", "replace")
        hexadecimal = len(manifest) == 64 and set(manifest) <= set("0123456789abcdef")
        given: dict[str, Any] = {"manifest": manifest if hexadecimal else "0" * 64}
        if isinstance(parts, dict):
            given["parts"] = {
                str(name): PartVersion(1, str(part.get("hash", "")), 6)
                for name, part in parts.items() if isinstance(part, dict)
            } or self._event.parts  # fmt: skip
        event = replace(self._event, model=name, number=1, file=pack, packs=(pack,), **given)
        appended(self.store._repo, event, None)
        return f"{name}@1"

    def honest(self) -> File:
        """A file of a version with a training log and arrays, to be changed."""
        return self._honest.copy()

    def add_file(self, file: File) -> str:
        """The ref of a new version that is this file, whose parts vouch for themselves. Raises RecursionError
        for one that is nested so deep that it cannot be written here."""
        return self.add(self._written(file), file.manifest.get("parts"))

    def mutants(self, count: int) -> Iterator[str]:
        """Versions with a training log and arrays, of which the fuzzer changed something."""
        for seed in range(count):
            file = self._honest.copy()
            mutate(file, Random(f"pages {seed}"), [self._honest])
            try:
                yield self.add_file(file)
            except RecursionError:
                continue  # the corpus has such

    def files(self, paths: Iterable[Path]) -> Iterator[str]:
        """Versions that are these files; those that are whole say that they belong here."""
        for path in paths:
            parts = None
            try:
                file = take_apart(path)
                data, parts = self._written(file), file.manifest["parts"]
            except (ValueError, KeyError, TypeError, IndexError, RecursionError):
                data = path.read_bytes()  # which nobody can take apart
            yield self.add(data, parts)

    def _written(self, file: File) -> bytes:
        """A file whose manifest names the version that it becomes."""
        own = {key: value for key, value in self._honest.manifest.items() if key != "parts"}
        file.own["id"] = f"{self._count + 1:032x}"
        if isinstance(file.manifest, dict):
            file.manifest = {**own, **file.manifest, "model": f"evil-{self._count + 1:04}", "number": 1}
            file.manifest["author"] = "somebody"  # as the record says
        return file.write(self._folder / "written.saver").read_bytes()
