"""Tests the tests: removes one safeguard from Saver at a time, and checks that a test fails.

    python -m tests.mutants [--list] [--only NAME] [--jobs N] [--json | --markdown] [--read FILE]

Each mutation is applied to a copy of the package. Exits with 1 if one survived or could not be run, and with
2 if the tests fail without any mutation.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .mutant import Mutant
from .run import Result, run, sound
from .table import GROUPS, MUTANTS


def main() -> int:
    options = _options()
    chosen = [mutant for mutant in MUTANTS if not options.only or mutant.name in options.only]
    if unknown := set(options.only) - {mutant.name for mutant in chosen}:
        sys.exit(f"there is no mutant {', '.join(sorted(unknown))}; --list names them all")
    if options.list:
        print("\n".join(f"{mutant.name:32} {mutant.what}" for mutant in chosen))
        return 0
    known = {result.name: result for result in _read(options.read)}
    new = [mutant for mutant in chosen if mutant.name not in known]
    if failure := sound(new, options.jobs):
        print(f"without any mutation, the tests must pass:\n{failure}", file=sys.stderr)
        return 2
    for result in _run(new, options.jobs):
        known[result.name] = result
    results = [known[mutant.name] for mutant in chosen]
    show = _as_json if options.json else _as_markdown if options.markdown else _as_text
    print(show(chosen, results))
    return 0 if all(known[mutant.name].caught or mutant.equivalent for mutant in chosen) else 1


def _options() -> argparse.Namespace:
    summary = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=summary)
    parser.add_argument("--list", action="store_true", help="list all mutants, and run none")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="run only this one (may be repeated)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many to run at the same time")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--markdown", action="store_true", help="print them as docs/reliability-mutants.md")
    parser.add_argument(
        "--read", metavar="FILE", help="the output of --json: run only mutants that are not in it"
    )
    return parser.parse_args()


def _read(path: str | None) -> list[Result]:
    return [Result(**each) for each in json.loads(Path(path).read_text())] if path else []


def _run(mutants: Sequence[Mutant], jobs: int) -> Iterable[Result]:
    with ThreadPoolExecutor(jobs) as pool:
        for count, result in enumerate(pool.map(run, mutants), 1):
            line = f"{count:3} of {len(mutants)}  {_word(result):10} {result.name:28} {result.seconds:5.1f} s"
            print(f"{line}  {result.by}", file=sys.stderr, flush=True)
            yield result


def _word(result: Result) -> str:
    if result.caught is None:
        return "not run"
    return "caught" if result.caught else "SURVIVED"


def _sum(results: Sequence[Result]) -> str:
    counts = [sum(result.caught is kind for result in results) for kind in (True, False, None)]
    return "{} caught, {} survived, {} not run".format(*counts)


def _as_text(mutants: Sequence[Mutant], results: Sequence[Result]) -> str:
    lines = [f"{_word(result):9} {result.name:28} {result.by}" for result in results]
    return "\n".join([*lines, _sum(results)])


def _as_json(mutants: Sequence[Mutant], results: Sequence[Result]) -> str:
    return json.dumps([result._asdict() for result in results], indent=1)


def _as_markdown(mutants: Sequence[Mutant], results: Sequence[Result]) -> str:
    found = {result.name: result for result in results}
    lines = [_INTRODUCTION.format(sum=_sum(results))]
    for title, group in GROUPS.items():
        lines += [f"\n## {title}\n", "| mutation | removed | noticed by |", "| --- | --- | --- |"]
        for mutant in group:
            if result := found.get(mutant.name):
                lines.append(f"| {mutant.name} | {mutant.what} | {_noticed(result)} |")
    return "\n".join(lines)


def _noticed(result: Result) -> str:
    """The test in words, without its parameters, and its file."""
    if not result.caught:
        return result.by or "**nothing**"
    file, _, test = result.by.partition("[")[0].rpartition("::")
    return (
        f"{test.removeprefix('test_').replace('_', ' ')} (`{file.partition('::')[0]}`)" if file else result.by
    )


_INTRODUCTION = """\
# Testing the tests

A test that passes proves little unless it can fail. So every safeguard that the promises of a store rest on
is removed in turn: a sync, a comparison, a limit, the order of two steps. Then the tests that should notice
are run, and one of them must fail. This page lists the mutations, and the first test that noticed each. It is
generated by

    python -m tests.mutants --markdown > docs/reliability-mutants.md

which takes some ten minutes on two processors, and changes only a copy of the package. Without any mutation,
all of these tests pass: that is checked first. `make mutants` prints the same as text, and fails if no test
notices one of the mutations.

The last run: {sum}. Mutations that were not run make no difference, for the reason given in the table."""

if __name__ == "__main__":
    sys.exit(main())
