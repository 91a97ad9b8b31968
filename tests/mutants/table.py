"""All mutants, by what they concern."""

from __future__ import annotations

from . import collecting, disk, formats, forms, log, models, packs, reading, runs, saving, shortcuts

GROUPS = {
    "Files and folders": disk.MUTANTS,
    "Packs": packs.MUTANTS,
    "The log": log.MUTANTS,
    "Checkpoints, and whether the log is whole": shortcuts.MUTANTS,
    "Saving": saving.MUTANTS,
    "Collecting": collecting.MUTANTS,
    "Reading and checking": reading.MUTANTS,
    "Training runs": runs.MUTANTS,
    "Objects as data": forms.MUTANTS,
    "Files of other tools": formats.MUTANTS,
    "Models of other tools": models.MUTANTS,
}

MUTANTS = [mutant for group in GROUPS.values() for mutant in group]
