"""What a check of a store found."""

from __future__ import annotations

import msgspec

from saver.human import counted, size
from saver.page import Facts, Page, Shown, Table
from saver.repo.packs import Damage


class Checked(Shown, msgspec.Struct, frozen=True):
    """What a check found: live versions, bytes read, all damage. `garbage` is needed by no version; it is
    not damage, and `gc` frees it. `recorded` says that the damage is recorded in the log, so that saving
    the same tensors again repairs it. `foreign` objects are in the folders of the store but not Saver's:
    they were not examined, and Saver never deletes them. `refused` are records of the log that are void,
    because their signers have no right to them.
    """

    versions: int
    bytes: int
    damage: tuple[Damage, ...]
    garbage: tuple[str, ...]
    garbage_bytes: int
    recorded: bool
    foreign: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether there is no damage."""
        return not self.damage

    def _line(self) -> str:
        return f"{counted(self.versions, 'version')} checked; damage: {self.verdict()}"

    def _page(self) -> Page:
        garbage = counted(len(self.garbage), "object")
        facts = {
            "versions": f"{self.versions:,}",
            "read": size(self.bytes),
            "damage": self.verdict(),
            "garbage": f"{garbage}, {size(self.garbage_bytes)} that `saver gc` frees"
            if self.garbage
            else "none",
            "not Saver's": f"{counted(len(self.foreign), 'file')}, which nothing here reads or deletes"
            if self.foreign
            else "",
            "void": f"{counted(len(self.refused), 'record')} without the right" if self.refused else "",
        }
        rest = [(each.key, each.what) for each in self.damage if not each.model]
        tables = (
            Table("Damage", ("version", "part", "tensor", "what"), self.losses()),
            Table("Damage that affects no version", ("object", "what"), rest),
            Table("Void records, which change nothing", ("record",), [(each,) for each in self.refused]),
        )
        return [Facts("", facts), *(table for table in tables if table.rows)]

    def losses(self) -> list[tuple[str, str, str, str]]:
        """What is lost: a row for each tensor of each version, or for a version that is lost whole."""
        parts: dict[tuple[str, int, str, str], list[str]] = {}
        for each in self.damage:
            if each.model:
                parts.setdefault((each.model, each.number, each.tensor, each.what), []).append(each.part)
        return [
            (f"{model}@{number}", ", ".join(names), tensor, _without_place(what, f"{model}@{number}"))
            for (model, number, tensor, what), names in sorted(parts.items())
        ]

    def verdict(self) -> str:
        """The damage in one line."""
        versions = {(each.model, each.number) for each in self.damage if each.model}
        if self.sound:
            return "none: everything is as it was saved"
        if not versions:
            return f"{counted(len({each.key for each in self.damage}), 'object')} that no version needs"
        of_versions = [each for each in self.damage if each.model]
        counts = {
            "tensor": len({(each.key, each.tensor) for each in self.damage if each.tensor}),
            "manifest": len({each.key for each in self.damage if _is_manifest(each)}),
            "document": len({each.key for each in of_versions if each.key.startswith("trees/")}),
            "checkpoint": len({each.key for each in of_versions if each.key == "state"}),
        }
        what = " and ".join(counted(count, noun) for noun, count in counts.items() if count)
        return f"{what} of {counted(len(versions), 'version')}"


def _is_manifest(damage: Damage) -> bool:
    """Whether the damage is to the manifest of a version, which may be stored in a pack."""
    return bool(damage.model and not damage.tensor and damage.key.startswith(("manifests/", "packs/")))


def _without_place(what: str, ref: str) -> str:
    """What is damaged, without the store and the version, which are said beside it."""
    _, found, rest = what.partition(f": {ref}: ")
    return rest if found else what
