"""What a check of a store found."""

from __future__ import annotations

import msgspec

from saver import html
from saver.human import size
from saver.repo.packs import Damage


class Checked(msgspec.Struct, frozen=True):
    """What a check found: live versions, bytes read, all damage. `garbage` is needed by no version; it is
    not damage, and `gc` frees it. `recorded` says that the damage is recorded in the log, so that saving
    the same tensors again repairs it. `foreign` objects are in the folders of the store but not Saver's:
    they were not examined, and Saver never deletes them.
    """

    versions: int
    bytes: int
    damage: tuple[Damage, ...]
    garbage: tuple[str, ...]
    garbage_bytes: int
    recorded: bool
    foreign: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether there is no damage."""
        return not self.damage

    def _repr_html_(self) -> str:
        found = {
            "versions": f"{self.versions:,}",
            "read": size(self.bytes),
            "damage": f"{len(self.damage):,}" if self.damage else "none",
            "garbage": f"{len(self.garbage):,} objects, {size(self.garbage_bytes)}",
            "foreign objects": ", ".join(self.foreign),
        }
        damage = [(item.key, item.what) for item in self.damage]
        tables = [html.table("Damage", ("object", "what"), damage)] if damage else []
        return html.block([html.facts("Check", found), *tables])
