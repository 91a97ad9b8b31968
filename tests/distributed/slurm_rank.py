"""A task of Slurm: it trains, and is saved when Slurm ends it; in a sealed store, if a key is there."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import numpy as np

import saver
from saver.clusters.slurm import SlurmCluster

STEPS = 40


def main(folder: Path) -> None:
    cluster = SlurmCluster(folder / "notes", lost_after=40.0, arrive_within=60.0)
    model = {"weights": np.arange(6000.0).reshape(60, 100), "steps": [0]}
    key = folder / "team.key"
    store = saver.Saver(folder / "store", key=key if key.exists() else None)
    run = store.checkpoints(
        "net", {"model": model}, every=saver.Every(steps=1000) | saver.OnSignal(), cluster=cluster
    )
    with run:
        for step in range(run.resume(), STEPS):
            model["weights"] *= 1 + random.Random(step).random() / 100  # type: ignore[operator]
            model["steps"][0] = step
            run.step(step, loss=float(np.sum(model["weights"])))
            (folder / f"{cluster.size}-{cluster.rank}-{step}").touch()
            time.sleep(0.2)
        run.save("the end")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
