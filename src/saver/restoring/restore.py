"""Restores a version into live objects: every requested target, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from saver.callers import warn
from saver.codec import Decoder
from saver.errors import DoesNotFitError, NotFoundError, SaverError, quoted
from saver.garbage import uncollected
from saver.restoring.contract import Plan
from saver.restoring.naming import Names, Naming
from saver.restoring.reach import is_tensor
from saver.restoring.report import Report
from saver.restoring.saved import Bring, Saved
from saver.storage import Progress
from saver.tree import Node, Value
from saver.trust import Allowed, allowed

if TYPE_CHECKING:
    from saver.opened import Opened


def restore(
    opened: Opened,
    into: Any,
    *,
    strict: bool = True,
    names: Names = None,
    trust: Iterable[str] | Allowed = (),
    limit: int | str | None = None,
    progress: Progress | None = None,
    exact: bool = False,
    bring: Bring = lambda names, boxes: None,
    agree: Callable[[], None] = lambda: None,
) -> Report:
    """Restore saved values into existing objects, in place. Returns a report of the names that matched.

    `into` maps parts to their targets. A single target works for a version with a single part, or one that
    is the target's state dict. A target can be:

    - a PyTorch module, from a saved module or state dict: by name, into its own parameters and buffers, on
      any device; the class that was saved is neither imported nor trusted
    - an optimizer, from one of its class or a state dict: by the names of the parameters if their module is
      restored with it from the same version, otherwise by position; a learning-rate scheduler, a gradient
      scaler
    - a tensor, array or random generator: its values, or its position in its sequence
    - a dict, list, set, deque, bytearray: emptied and filled. An item of a dict, list or tuple stays the
      same object if it can become what was saved under its key, so that other references to it remain
      valid: arrays and tensors of equal shape and dtype, containers, estimators, objects of the same class.
      Modules, random generators and anything with `load_state_dict` must fit; other objects that do not fit
      are replaced
    - an estimator or an object of your own, from one of the same class: its attributes
    - anything with `load_state_dict`, from a saved dict

    Everything is checked first: bytes against their hashes, names, shapes. With `strict`, any name that
    does not match is an error, and nothing is changed; otherwise what matches is copied, and the rest is
    left as it is. `names` maps saved names to the target's: `{"encoder.": "backbone.", "fc.bias": None}`,
    or a function of the saved name; None leaves a name out. dtypes are those of the target; the report
    lists what was converted to them.

    With `exact`, targets become what `load` would return, to the last attribute, or nothing is changed: so a
    run resumes. Nothing is converted, and a module must have the structure of the one that was saved.

    `trust`, `classes` and `limit` are as in `saver.load`. `bring` is called before anything is read, with
    the names of tensors that are, and boxes of others; `agree` when everything has been, and nothing changed.

    Raises DoesNotFitError (which carries the report), NotFoundError, DamagedError, IncompatibleError,
    LimitExceededError, or UntrustedError.
    """
    saved = Saved(opened, Naming(names), strict, limit, exact=exact, allowed=allowed(trust))
    plans: dict[str, Plan] = {}
    pairs = list(_pairs(opened, into, saved))
    saved.roots += [(value, target) for _, value, target in pairs]
    for name, value, target in pairs:
        with saved.step(name):
            plans[name] = uncollected(saved.plan, value, target)
    saved.naming.check(saved.where)
    report = Report(opened.where, {name: plan.report for name, plan in plans.items()})
    if strict and not report:
        raise DoesNotFitError(_told(report, exact), report)
    _warn_if_nothing_matched(report)
    decoder, size = saved.read(progress, bring)
    opened.warn([name for name in plans if name in opened.trees])
    in_order = sorted(plans.items(), key=lambda item: not item[1].may_refuse)
    changes = {
        name: _ready(plan.ready, decoder, saved, f"{opened.where}: {name}")
        for name, plan in in_order
        if plan.ready is not None
    }
    within = _ready(lambda decoder: _all(saved.changes(decoder)), decoder, saved, opened.where)
    report = Report(report.where, report.parts, size)
    agree()
    _change_all(changes, report)
    within()
    return report


def _warn_if_nothing_matched(report: Report) -> None:
    for name, part in report.parts.items():
        if not part and not part.matched and not part.mismatched:
            way = "the report lists the names of both sides"
            if part.renaming:
                way = f"names={{{part.renaming[0]!r}: {part.renaming[1]!r}}} would match more"
            warn(f"{report.where}: of {name}, no name matched, so nothing is restored: {way}", UserWarning)


def _all(changes: Iterable[Callable[[], None]]) -> Callable[[], None]:
    def change() -> None:
        for step in changes:
            step()

    return change


def _change_all(changes: Mapping[str, Callable[[], None]], report: Report) -> None:
    """Make the changes, which cannot be undone. Only the targets' own code can still fail."""
    done: list[str] = []
    for name, change in changes.items():
        try:
            change()
        except DoesNotFitError as error:
            told = f"; by then {', '.join(done)} had been restored" if done else ""
            raise DoesNotFitError(f"{error}{told}", report) from error.__cause__
        done.append(name)


def _ready(
    ready: Callable[[Decoder], Callable[[], None]], decoder: Decoder, saved: Saved, where: str
) -> Callable[[], None]:
    try:
        return uncollected(ready, decoder)
    except (SaverError, MemoryError):
        raise
    except Exception as error:
        raise saved.not_understood(error, where) from error


def _pairs(opened: Opened, into: Any, saved: Saved) -> Iterator[tuple[str, Value, Any]]:
    """What to restore: the name and tree of each part, and its target."""
    trees = {name: tree.root for name, tree in opened.trees.items()}
    if isinstance(into, Mapping):
        for name, target in into.items():
            if name not in trees:
                raise NotFoundError(_no_part(opened, name))
            yield name, trees[name], target
    elif opened.manifest.whole and _is_state_of(into, saved, trees):
        yield "state", Node("dict", state=trees), into
    elif len(trees) == 1:
        ((name, tree),) = trees.items()
        yield name, tree, into
    else:
        listed = ", ".join(trees)
        raise NotFoundError(
            f"{opened.where} has the parts {listed}; name the target of each: "
            f"into={{{next(iter(trees))!r}: target}}"
        )


def _no_part(opened: Opened, name: object) -> str:
    parts = opened.trees
    if opened.manifest.whole:
        return f"{opened.where} has no part {quoted(name)}; its parts are {', '.join(parts)}"
    (sole,) = parts
    return (
        f"{opened.where} has no part {quoted(name)}; one object was saved, not a mapping: pass "
        f"into={{{sole!r}: target}}, or the target itself unless it is a mapping"
    )


def _is_state_of(target: Any, saved: Saved, trees: dict[str, Value]) -> bool:
    """Whether the parts are the items of one state dict, which was saved directly.

    They are if most of them have names of items in the target's state dict, or if all are tensors.
    """
    if not callable(getattr(target, "load_state_dict", None)):
        return False
    if all(isinstance(tree, Node) and is_tensor(tree) for tree in map(saved.follow, trees.values())):
        return True
    state = target.state_dict() if callable(getattr(target, "state_dict", None)) else None
    return isinstance(state, Mapping) and 2 * len(trees.keys() & state.keys()) > len(trees)


def _told(report: Report, exact: bool) -> str:
    """The message for parts that do not fit: place, facts, next step."""
    unfit = {name: part for name, part in report.parts.items() if not part}
    facts = "; ".join(
        f"{name} does not fit the {part.into}: of its names {', '.join(part.told())}"
        for name, part in unfit.items()
    )
    renaming = next((part.renaming for part in unfit.values() if part.renaming), None)
    if exact:
        return f"{report.where}: {facts}. Nothing was changed; `.report` lists all names"
    way = f"names={{{renaming[0]!r}: {renaming[1]!r}}} would match more; " if renaming else ""
    return (
        f"{report.where}: {facts}. Nothing was changed; {way}strict=False restores what fits, "
        "`.report` lists all names"
    )
