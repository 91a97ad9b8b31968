"""What the policies of a run needed and did not get: said when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from saver.checkpoints.reported import Reported
from saver.policy import Policy, Retention


def complaints(
    every: Policy, keep: Retention | None, reported: Reported, metrics: Iterable[str], saved: bool
) -> Iterator[str]:
    """What to warn about: a metric that policies need and no step reported (its name is probably different),
    and training without a single save. `saved` says whether there was one, or should be none."""
    if not reported.trained:
        return
    names = set(metrics) | ({"epoch"} if reported.epoch is not None else set())
    missing = sorted((every.metrics | (keep.metrics if keep is not None else frozenset())) - names)
    if missing:
        yield (
            f"no step reported {', '.join(missing)}, which `every` or `keep` needs; the steps reported "
            f"{', '.join(sorted(names)) or 'no metrics'}; pass it to run.step, or correct the name"
        )
    if not saved and any(not policy.signals for policy in every.members):
        yield (
            f"it ended after step {reported.last} and nothing was saved, because {every!r} was never due; "
            "call run.save() at the end of the block"
        )
