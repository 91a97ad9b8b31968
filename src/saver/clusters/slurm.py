"""The tasks of a step of a Slurm job, as `srun` starts them."""

from __future__ import annotations

import os

from saver.clusters.storage import StorageCluster


class SlurmCluster(StorageCluster):
    """The tasks that one `srun` started, which leave their notes in a folder or bucket that all reach:

        cluster = SlurmCluster("/shared/notes")

    Rank and size are those of Slurm (`SLURM_PROCID`, `SLURM_NTASKS`). Each job, each time that it was
    requeued, and each of its steps have a folder of their own in `place`, so that many jobs may use one.
    Raises ValueError in a process that `srun` did not start.
    """

    def __init__(
        self, place: str | os.PathLike[str], *, lost_after: float = 30.0, arrive_within: float = 600.0
    ) -> None:  # fmt: skip
        rank, size, job, step = (
            _number(name) for name in ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID", "SLURM_STEP_ID")
        )
        requeued = _number("SLURM_RESTART_COUNT", 0)
        own = f"{os.fspath(place)}/{job}-{requeued}-{step}"
        within = {"lost_after": lost_after, "arrive_within": arrive_within}
        super().__init__(own, rank=rank, size=size, **within)


def _number(name: str, otherwise: int | None = None) -> int:
    found = os.environ.get(name, otherwise)
    try:
        return int(found)  # type: ignore[arg-type]  # which is what is asked here
    except (TypeError, ValueError):
        said = f"{name} is not set" if found is None else f"{name} is {str(found)[:40]!r}"
        raise ValueError(f"{said}: this process is not a task that srun started") from None
