"""A folder of model files becomes a store: names from paths, versions by time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from saver import arguments
from saver.line import Showing, shown
from saver.migrating.migration import Migration
from saver.migrating.naming import Naming
from saver.migrating.report import Came as Came
from saver.migrating.report import Left as Left
from saver.migrating.report import Migrated as Migrated
from saver.repo.naming import model_of
from saver.store import Store


@shown("migrating")
def migrate(
    folder: str | os.PathLike[str],
    store: Store | str | os.PathLike[str],
    *,
    names: Mapping[str, str] | None = None,
    apart: bool = False,
    leave: Iterable[str] = (),
    dry_run: bool = False,
    progress: Showing = None,
) -> Migrated:
    """Save every model below a folder as a version in a store: files of all formats that Saver reads, known
    by their content, and the runs and models of MLflow with what it records of them. Returns what came, what
    of it was lost, what was refused and why, and what was left out. With `dry_run`, opens all of them and
    writes nothing.

    A model is named after its path. Files whose paths differ only by a version, step, date or other number
    are versions of one model, the oldest first; with `apart`, each file is a model of its own. `names` gives
    others by patterns of paths, as in `{"nets/*.pt": "team/net"}`, and files that a pattern of `leave` fits
    are left out. The time of a version is that of its file, or the one that is recorded.

    Nothing is run and no object is built. What came already does not come again, so a migration that was
    interrupted goes on where it was. Links are not followed. Raises NotFoundError if there is no such
    folder, LimitExceededError if it has too many files, and CannotWriteError if the store cannot be written.
    """
    progress = arguments.callback("progress", progress)
    place = arguments.path_of("folder", folder)
    arguments.flag("apart", apart)
    arguments.flag("dry_run", dry_run)
    target = store if isinstance(store, Store) else Store(store)
    whole = os.path.basename(os.path.abspath(place))
    naming = Naming(_names(names), apart, arguments.texts("leave", leave), whole)
    return Migration(place, target, naming, dry_run, progress).run()


def _names(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(type(pattern) is str for pattern in given):
        raise TypeError('names: pass a dict of patterns and names, as in {"nets/*.pt": "net"}')
    for name in given.values():
        try:
            model_of(name)
        except (TypeError, ValueError) as error:
            raise type(error)(f"names: {error}") from None
    return dict(given)
