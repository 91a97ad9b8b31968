"""A fuzzer that knows the format: `python -m tests.attacks.fuzz --minutes 60`, from the root of the
repository.

It makes honest files (`fuzz_samples`), changes their trees and tensors so that all hashes are right again
(`mutations`), and loads each in a forked process with little memory and time, under an audit hook
(`fuzz_watch`). What loads is then used as a user would (`fuzz_uses`). A find is what no file may do: run
code, import or open what the honest object did not, call a function that has no place there, fail with
anything but a SaverError, take much memory or time, crash, hang or end the process. Each kind of find is
made smaller and kept in `corpus/`, with a line in its README.

The same `--seed` makes the same files, as far as the run comes. `--samples` names groups (`sklearn`) or
single samples (`nn/Linear`). `--replay` loads files of the corpus instead. The exit status is 1 if
anything was found.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "families")]
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # threads do not survive a fork

from blake3 import blake3
from fuzz_lab import Case, Lab, Outcome
from fuzz_shrink import shrunk
from fuzz_worker import mutant

CORPUS = HERE / "corpus"
BATCH = 16
LARGEST = 100_000


class Report:
    """What came of the cases, and the finds; one of each kind is confirmed in a process of its own."""

    def __init__(self, lab: Lab, corpus: Path, shrink: float) -> None:
        self._lab, self._corpus, self._shrink = lab, corpus, shrink
        self.cases = 0
        self.outcomes, self.kinds, self.slow = Counter[str](), Counter[str](), Counter[str]()
        self.finds: Counter[str] = Counter()
        self.confirmed: set[str] = set()

    def add(self, sample: str, outcome: Outcome, path: Path) -> None:
        self.cases += 1
        found: dict[str, str] = outcome["found"]
        self.outcomes["find" if found else outcome["outcome"]] += 1
        self.kinds.update(outcome.get("kinds", ()))
        self.slow.update(outcome.get("slow", ()))
        for what in found:
            self.finds[what] += 1
        for what, where in list(found.items())[:1]:
            if what not in self.confirmed and self.finds[what] <= 5:
                self._keep(sample, what, where, outcome, path)

    def _keep(self, sample: str, what: str, where: str, outcome: Outcome, path: Path) -> None:
        print(
            f"FIND {what}\n  {where}\n  {sample}, case {outcome['case']}, {outcome.get('kinds')}", flush=True
        )
        original = path.read_bytes()
        if what not in self._lab.alone(original)["found"]:
            print("  not so when loaded alone: nothing kept", flush=True)
            return
        self.confirmed.add(what)
        data = shrunk(
            path, self._lab.folder, lambda data: what in self._lab.alone(data)["found"], self._shrink
        )
        if len(data) > LARGEST:
            print(f"  {len(data):,} bytes: too large to keep", flush=True)
            return
        self._corpus.mkdir(exist_ok=True)
        name = f"{slug(what)}-{blake3(data).hexdigest()[:8]}.saver"
        (self._corpus / name).write_bytes(data)
        with (self._corpus / "README.md").open("a") as notes:
            notes.write(f"- `{name}` ({sample}): {what}; {where}\n")
        print(f"  kept as {name}, {len(data):,} bytes", flush=True)

    def show(self) -> None:
        titles = {"outcomes": self.outcomes, "mutations": self.kinds, "slow steps": self.slow}
        for title, counts in {**titles, "finds": self.finds}.items():
            print(
                f"{title}: " + (", ".join(f"{key} {count}" for key, count in counts.most_common()) or "none")
            )
        called = sorted(self._lab.calls.items(), key=lambda item: -item[1])
        print(
            "reviewed functions called: "
            + ("; ".join(f"{what} {count}" for what, count in called[:60]) or "none")
        )


def slug(what: str) -> str:
    """The kind of a find, for the name of its file."""
    words = re.findall(r"[a-z0-9]+", what.lower())
    return "-".join(words[:3])


def rounds(lab: Lab, seed: int) -> Iterator[tuple[str, list[Case]]]:
    """Batches of cases without end: each sample in turn, in an order that the seed decides."""
    number = 0
    while True:
        names = list(lab.makers)
        Random(f"{seed}/{number}").shuffle(names)
        for name in names:
            file = lab.file(name)
            if file is None:
                continue
            random = Random(f"{seed}/{number}/{name}")
            others = random.sample(lab.files, min(8, len(lab.files)))
            seeds = [f"{seed}/{number}/{name}/{case}" for case in range(BATCH)]
            yield name, [(seed, mutant(file, others, seed)) for seed in seeds]
        number += 1


def fuzz(lab: Lab, report: Report, seed: int, seconds: float, most: int, first: bool) -> None:
    until, told = time.monotonic() + seconds, time.monotonic()
    for sample, cases in rounds(lab, seed):
        for outcome, path in lab.outcomes(cases[: most - report.cases]):
            report.add(sample, outcome, path)
            if time.monotonic() > told + 20:
                told = time.monotonic()
                print(f"{report.cases:,} cases, {len(report.finds)} kinds of finds, at {sample}", flush=True)
            if time.monotonic() > until or (first and report.confirmed):
                return
        if report.cases >= most or time.monotonic() > until:
            return


def replay(lab: Lab, report: Report, paths: list[Path]) -> None:
    """Load and use files of the corpus, each in a process of its own."""
    notes = (CORPUS / "README.md").read_text() if (CORPUS / "README.md").exists() else ""
    for sample in sorted(set(re.findall(r"^- `[^`]*` \(([^)]*)\)", notes, re.MULTILINE))):
        if sample in lab.makers:
            lab.file(sample)
    for path in paths:
        outcome = lab.alone(path.read_bytes())
        report.cases += 1
        report.outcomes["find" if outcome["found"] else outcome["outcome"]] += 1
        for what, where in outcome["found"].items():
            report.finds[what] += 1
            print(f"FIND {path.name}: {what}\n  {where}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--cases", type=int, default=10**9, help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes, with seeds that follow")
    parser.add_argument("--samples", nargs="*", default=[])
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where finds are kept")
    parser.add_argument("--timeout", type=float, default=20.0, help="seconds until a case counts as hanging")
    parser.add_argument("--replay", type=Path, nargs="*", help="load these files instead")
    parser.add_argument("--shrink", type=float, default=10.0, help="seconds in which a find is made smaller")
    parser.add_argument("--first", action="store_true", help="stop at the first find")
    parser.add_argument("--plant", default="", help="a hole of fuzz_plants, to see that it is found")
    options = parser.parse_args()
    others = []
    for number in range(1, options.jobs):
        child = os.fork()
        if not child:
            options.seed += number
            others.clear()
            break
        others.append(child)
    failed = run(options)
    return max([failed, *(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in others)])


def run(options: argparse.Namespace) -> int:
    """Whether anything was found."""
    with tempfile.TemporaryDirectory(prefix="saver-fuzz-") as folder:
        lab = Lab(tuple(options.samples), Path(folder), options.plant, options.timeout)
        report = Report(lab, options.corpus, options.shrink)
        if options.replay is not None:
            replay(lab, report, options.replay)
        else:
            fuzz(lab, report, options.seed, options.minutes * 60, options.cases, options.first)
        print(f"{report.cases:,} cases of seed {options.seed}")
        report.show()
        return 1 if report.finds else 0


if __name__ == "__main__":
    sys.exit(main())
