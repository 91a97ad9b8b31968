"""All mutants, by what they concern."""

from __future__ import annotations

from . import (
    collecting,
    compression,
    disk,
    formats,
    forms,
    keys,
    log,
    model_signing,
    models,
    packs,
    pages,
    predictions,
    reading,
    remote,
    runs,
    saving,
    seals,
    serving,
    sharing,
    shortcuts,
    signing,
)

GROUPS = {
    "Files and folders": disk.MUTANTS,
    "Packs": packs.MUTANTS,
    "The log": log.MUTANTS,
    "Checkpoints, and whether the log is whole": shortcuts.MUTANTS,
    "Saving": saving.MUTANTS,
    "Collecting": collecting.MUTANTS,
    "Reading and checking": reading.MUTANTS,
    "Keys": keys.MUTANTS,
    "Sealed stores and files": seals.MUTANTS,
    "Signatures and roles": signing.MUTANTS,
    "Compression": compression.MUTANTS,
    "Predictions": predictions.MUTANTS,
    "Serving": serving.MUTANTS,
    "A store behind a server": remote.MUTANTS,
    "Pages": pages.MUTANTS,
    "Training runs": runs.MUTANTS,
    "Objects as data": forms.MUTANTS,
    "Files of other tools": formats.MUTANTS,
    "Models of other tools": models.MUTANTS,
    "Hubs and model cards": sharing.MUTANTS,
    "Signatures of files and folders": model_signing.MUTANTS,
}

MUTANTS = [mutant for group in GROUPS.values() for mutant in group]
