"""All results of a run, and RESULTS.md made from them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import memory, models, plot
from benchmarks.memory import Peak
from benchmarks.tables import Table, markdown, raw
from benchmarks.targets import verdicts

STATES = ("tensors", "many", "one")


@dataclass
class Report:
    """The tables of a run, in their order, and the machine they were measured on."""

    tables: list[Table] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)
    rounds: str = ""

    def save(self, folder: Path) -> None:
        """Write RESULTS.md and its plots to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        plots = self._plots(folder)
        (folder / "RESULTS.md").write_text(self.markdown(plots), encoding="utf-8")

    def _plots(self, folder: Path) -> list[str]:
        """Draw the tables that exist; returns the names of the files."""
        named = {table.name: table for table in self.tables}
        names = []
        for state in STATES:
            if f"{state}-save" in named:
                names.append(f"{state}.png")
                chosen = [named[f"{state}-{kind}"] for kind in ("save", "cold", "warm")]
                plot.plot_large(chosen, folder / names[-1])
        small = [
            table
            for table in self.tables
            if table.name.endswith(("-dump", "-load"))
            and table.baseline == models.BASELINE
            and not table.name.startswith(("scale-", "sealed-"))
        ]
        if small:
            names.append("models.png")
            plot.plot_models(small, folder / names[-1])
        if "startup" in named:
            names.append("startup.png")
            plot.plot_startup(named["startup"], folder / names[-1])
        kept = [table for table in self.tables if table.name.startswith("versions-")]
        if kept:
            names.append("versions.png")
            plot.plot_versions(kept, folder / names[-1])
        if "checkpoints" in named:
            names.append("checkpoints.png")
            plot.plot_checkpoints(named["checkpoints"], named["checkpoints-steps"], folder / names[-1])
        return names

    def goals(self) -> list[tuple[str, str, str, str]]:
        """Each goal with its bound, what was measured, and the verdict."""
        return verdicts(self.tables, self.peaks)

    def markdown(self, plots: list[str]) -> str:
        lines = ["# Benchmarks", "", "Made by `python -m benchmarks`; do not edit.", ""]
        lines += ["## Goals", "", "| goal | to reach | measured | |", "| --- | ---: | ---: | --- |"]
        lines += ["| " + " | ".join(goal) + " |" for goal in self.goals()]
        lines += ["", "## Machine", ""]
        lines += [f"- {name}: {value}" for name, value in self.machine.items()]
        lines += ["", "## How", "", _HOW.format(self.rounds), "", "## Results", ""]
        lines += [f"![{name.removesuffix('.png')}]({name})\n" for name in plots]
        lines += [markdown(table) for table in self.tables]
        if self.peaks:
            lines.append(memory.markdown(self.peaks))
        return "\n".join(lines)

    def json(self) -> str:
        """Every time of every round."""
        document = {
            "machine": self.machine,
            "tables": [raw(table) for table in self.tables],
            "memory": [asdict(peak) for peak in self.peaks],
            "goals": self.goals(),
        }
        return json.dumps(document, indent=1, ensure_ascii=False)


_HOW = (
    "The device's limit, Saver and its peers take turns, {} rounds, each round beginning with another, so "
    "that noise of the machine affects all alike. Ratios are taken within each round; the table shows their "
    "median. “peer = 1” is how many times faster than that peer a row is: above 1 is faster. “of the limit” "
    "is the row's speed as a share of the device's own, measured in the same round. Every file is new, and "
    "its deletion is complete before the next."
)
