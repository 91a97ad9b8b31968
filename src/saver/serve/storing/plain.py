"""Whether a record says only what a Saver would say there: the log keeps it for ever, for everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from saver.repo.bounds import check_author, check_metrics, check_tags, check_time
from saver.repo.events import Commit, Delete, Label, Tag, Void
from saver.repo.finding import named_by
from saver.repo.labels import LABELS_LIMIT
from saver.repo.log import Record
from saver.repo.refs import BadNameError
from saver.repo.state.facts import Facts, ModelState
from saver.serve.refusals import Refusal

WHERE = "the record"
LONGEST = 64
"""The most characters of the name of a transaction: twice as many as Saver gives it."""


def demand_plain(record: Record, facts: Facts) -> None:
    """Raise Refusal unless all that people are shown of a record is bounded, and agrees with what the log
    said before it."""
    _check(check_time, record.time)
    if record.author:
        _check(check_author, record.author)
    _demand(0 < len(record.transaction) <= LONGEST, "has a transaction that no Saver gives")
    match record.event:
        case Commit() as event:
            _demand_commit(event, facts)
        case Tag(model, tag, _, before):
            _demand(before == facts.tag(model, tag), f"says of the tag {tag} what it did not name")
        case Delete(model, numbers, tags):
            _demand(list(numbers) == sorted({*numbers}), "names a version twice, or not in order")
            gone = {tag: number for tag, number in facts.tags(model).items() if number in numbers}
            _demand(tags == gone, "names other tags than those of the versions that it deletes")
        case Label(_, _, labels):
            _demand(len(labels) <= 2 * LABELS_LIMIT, "changes more labels than there can be")
        case Void(transaction):
            _demand(0 < len(transaction) <= LONGEST, "gives up what no Saver began")


def _demand_commit(event: Commit, facts: Facts) -> None:
    _check(check_metrics, event.metrics)
    _check(check_tags, event.tags)
    if event.author:
        _check(check_author, event.author)
    model = facts.model(event.model) or ModelState()
    _demand(event.parent == model.latest, f"has the parent {event.parent}, and the newest is {model.latest}")
    _demand(
        event.moved == named_by(facts, event.model, event.tags), "says of its tags what they did not name"
    )
    for name, part in event.parts.items():  # a push keeps numbers, of versions and parts alike
        least = model.parts.get(name, (0, ""))[0]
        _demand(
            least <= part.number <= max(least + 1, event.number),
            f"has number {part.number} of the part {name[:80]!r} after {least}",
        )


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise Refusal("bad-object", f"{WHERE} {what}")


def _check(check: Callable[[Any], None], value: Any) -> None:
    try:
        check(value)
    except BadNameError as error:
        raise Refusal("bad-object", f"{WHERE}: {error}") from None
