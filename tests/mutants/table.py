"""All mutants, by what they concern."""

from __future__ import annotations

from . import collecting, disk, log, packs, reading, saving

GROUPS = {
    "Files and folders": disk.MUTANTS,
    "Packs": packs.MUTANTS,
    "The log and its shortcuts": log.MUTANTS,
    "Saving": saving.MUTANTS,
    "Collecting": collecting.MUTANTS,
    "Reading and checking": reading.MUTANTS,
}

MUTANTS = [mutant for group in GROUPS.values() for mutant in group]
