"""`python -m benchmarks`: prints the tables, and writes them as Markdown and plots."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from benchmarks import (
    buckets,
    checkpoints,
    distributed,
    frameworks,
    large,
    limits,
    machine,
    memory,
    models,
    orbax,
    rewriting,
    scale,
    sealing,
    serving,
    small,
    startup,
    versions,
)
from benchmarks.peers import peers
from benchmarks.report import Report
from benchmarks.states import MANY, ONE, TENSORS
from benchmarks.tables import Table, plain

STATES = {shape.name: shape for shape in (TENSORS, MANY, ONE)}
QUESTIONS = (
    *STATES,
    "rewriting",
    "memory",
    "models",
    "frameworks",
    "small",
    "startup",
    "versions",
    "scale",
    "checkpoints",
    "distributed",
    "orbax",
    "buckets",
    "sealing",
    "serving",
)
RESULTS = Path(__file__).parent / "results"

_REPEAT = (
    "rounds for the large states (5); 6 times as many for small models, 8 times for processes; versions and "
    "scale have their own numbers of rounds"
)
_FOLDER = "the folder for scratch files, 5 GB at a time, on the disk to measure (default: here)"
_OWN = f"versions {versions.ROUNDS}, scale {scale.ROUNDS}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    names = ", ".join(QUESTIONS)
    add("questions", nargs="*", metavar="QUESTION", help=f"the questions to answer: {names}; default: all")
    add("--quick", action="store_true", help="small states, few rounds: test that it runs")
    add("--repeat", type=int, default=5, help=_REPEAT)
    add("--folder", type=Path, default=Path.cwd(), help=_FOLDER)
    add(
        "--output", type=Path, default=RESULTS, help="the folder for RESULTS.md and plots: benchmarks/results"
    )
    add("--json", type=Path, help="also write the time of every round to this file")
    chosen = parser.parse_args()
    for question in chosen.questions:
        if question not in QUESTIONS:
            parser.error(f"there is no question {question!r}; choose from {names}")
    return chosen


def measure(
    questions: tuple[str, ...], folder: Path, repeat: int, factor: int, show: Callable[[str], object]
) -> Report:
    """Answer the questions with states `factor` times smaller than their full size; `show` each table."""
    report = Report(rounds=f"{repeat} (small models {6 * repeat}, processes {8 * repeat}, {_OWN})")

    def add(tables: list[Table]) -> None:
        report.tables += tables
        for table in tables:
            show(plain(table))

    chosen = [
        shape.smaller(factor) if factor > 1 else shape for name, shape in STATES.items() if name in questions
    ]
    if chosen:
        ways = limits.fastest(folder, TENSORS.size // factor)
        for shape in chosen:
            add(large.run(shape, folder, ways, repeat, peers()))
    if "rewriting" in questions:
        add(rewriting.run(folder, repeat, factor))
    if "memory" in questions:
        report.peaks = memory.run(folder, factor)
        show(memory.plain(report.peaks))
    if "models" in questions:
        add(models.run(folder, 6 * repeat, max(100, 2000 // factor)))
    if "frameworks" in questions:
        add(frameworks.run(folder, 4 * repeat, min(factor, 10)))
    if "small" in questions:
        add(small.run(folder, 4 * repeat, max(1000, small.TENSORS // factor), factor))
    if "startup" in questions:
        add(startup.run(folder, 8 * repeat))
    if "versions" in questions:
        count, each = (versions.ROUNDS, versions.EACH) if factor == 1 else (2, 2)
        add(versions.run(folder, factor, count, each))
    if "scale" in questions:
        count, each = (scale.ROUNDS, scale.EACH) if factor == 1 else (2, 2)
        add(scale.run(folder, 4 * repeat, count, each, factor))
    if "checkpoints" in questions:
        count, saves, steps = (repeat, checkpoints.SAVES, checkpoints.STEPS) if factor == 1 else (2, 1, 2)
        add(checkpoints.run(folder, count, factor, saves, steps))
    if "distributed" in questions:
        sizes = distributed.SIZES if factor == 1 else (2,)
        add(distributed.run(folder, repeat, factor, sizes))
    if "orbax" in questions and find_spec("jax") and find_spec("orbax"):
        add(orbax.run(folder, repeat, factor))
    if "buckets" in questions:
        add(buckets.run(repeat, factor))
    if "sealing" in questions:
        add(sealing.run(folder, repeat, factor, sealing.VERSIONS if factor == 1 else 200))
    if "serving" in questions:
        few = {"clients": (1, 4), "seconds": 0.2, "large": 1500} if factor > 1 else {}
        add(serving.run(folder, repeat, **few))
    report.machine = machine.describe(folder)
    return report


def main() -> None:
    chosen = _arguments()
    with tempfile.TemporaryDirectory(prefix=".benchmarks-", dir=chosen.folder) as folder:
        report = measure(
            tuple(chosen.questions) or QUESTIONS,
            Path(folder),
            2 if chosen.quick else chosen.repeat,
            50 if chosen.quick else 1,
            lambda text: print(text, flush=True),
        )
    for goal, bound, figure, verdict in report.goals():
        print(f"{verdict:>14}  {goal}: {figure} ({bound})")
    if chosen.json:
        chosen.json.write_text(report.json(), encoding="utf-8")
    report.save(chosen.output)
    print(f"\nwritten to {chosen.output}")


if __name__ == "__main__":
    main()
