"""Ray Train gets the reference of a version, and no files: the version is in the store already."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.train

from saver import IncompatibleError, Version
from saver.checkpoints import Checkpoints

__all__ = ["ref_of", "report"]

_FILE = "saver.json"
_MOST = 10_000
"""Bytes of the file, at most."""


def report(metrics: Mapping[str, Any], saved: Version | Checkpoints | None) -> None:
    """Report to Ray Train, as `ray.train.report` does, with a version instead of files.

        run = store.checkpoints("gpt", {"model": model}, every=every, cluster="torch")
        with run:
            for step in range(run.resume(), 10_000):
                ...
                run.step(step, loss=loss)
                if step % 100 == 99:
                    report({"loss": loss}, run)

    All workers call this, after the same step, because Ray lets them wait for each other. `saved` is a
    version, or a run: then it is the newest one that the run has on disk, if any. The checkpoint that
    Ray keeps is a small file that names the version; `ref_of` reads it. Raises what `ray.train.report` does.
    """
    version = saved.progress.saved if isinstance(saved, Checkpoints) else saved
    if version is None or ray.train.get_context().get_world_rank() != 0:
        ray.train.report(dict(metrics))
        return
    with tempfile.TemporaryDirectory(prefix="saver-") as folder:
        content = {"ref": str(version), "manifest": version.manifest}
        Path(folder, _FILE).write_text(json.dumps(content), "utf-8")
        ray.train.report(dict(metrics), checkpoint=ray.train.Checkpoint.from_directory(folder))


def ref_of(checkpoint: ray.train.Checkpoint) -> str:
    """The reference, such as `gpt@12`, of the version that a checkpoint of `report` names:

        store.load(ref_of(result.checkpoint))

    Raises IncompatibleError if the checkpoint was made by something else.
    """
    with checkpoint.as_directory() as folder:
        try:
            with Path(folder, _FILE).open("rb") as file:
                found = json.loads(file.read(_MOST))["ref"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise IncompatibleError(
                f"{checkpoint.path}: {_FILE} does not name a version; only checkpoints that "
                "saver.integrations.ray.report made do"
            ) from error
    if not isinstance(found, str):
        raise IncompatibleError(f"{checkpoint.path}: the reference in {_FILE} is not a text")
    return found
