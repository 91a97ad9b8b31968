"""The shortcuts to what the log says, their pages, and whether the log is whole."""

from __future__ import annotations

from .mutant import Mutant

_NEITHER = (
    "repo/test_shortcuts.py::test_a_log_that_cannot_be_read_either_is_reported_and_nothing_is_forgotten"
)
_OTHER_LOG = "repo/test_shortcuts.py::test_a_checkpoint_of_another_log_is_not_believed"
_LOG = "repo/test_log.py"
_LEFT = "repo/test_keeping.py::test_no_page_is_left_over_or_missing"
_SHORTCUTS = "repo/test_shortcuts.py"
_FULL = "repo/test_shortcuts.py::test_on_a_full_disk_versions_can_be_deleted_and_freed"
_PAGE = "repo/test_pages.py::test_a_page_that_no_saver_wrote_is_refused"
_FIT = "repo/test_pages.py::test_pages_that_do_not_fit_each_other_are_refused"
_HOSTILE = "attacks/test_hostile_stores.py"
_ENDS = f"{_HOSTILE}::test_the_newest_records_cannot_be_removed_while_a_checkpoint_tells_of_them"

MUTANTS = [
    Mutant(
        "half-made-view", "repo/state/state.py",
        "            view = None if self.alone else self._checkpointed(self.log.head(head), base)\n",
        "            view = None if self.alone else self._checkpointed(self.log.head(head), base)\n"
        "            self._view = view or self._view\n",
        "the order: a view of the log is whole before anybody decides by it", (_NEITHER,),
    ),
    Mutant(
        "half-read-log", "repo/state/state.py",
        "        view = View(self.shortcuts.pages)\n        for",
        "        view = self._view = View(self.shortcuts.pages)\n        for",
        "the order: the log is read whole before anybody decides by it", (_NEITHER,),
    ),
    Mutant(
        "lost-records", "repo/state/state.py",
        "        if view is None or view.head < head:\n", "        if view is None:\n",
        "the log itself, where a newer checkpoint does not do", (_NEITHER,),
    ),
    Mutant(
        "distrust", "repo/state/state.py",
        "            view, self._distrusts = self._from_log(head), True\n        self._view = view\n",
        "            view = self._from_log(head)\n        self._view = view\n",
        "writing all of a checkpoint anew when one was no good",
        (f"{_SHORTCUTS}::test_who_noticed_a_broken_page_writes_all_of_the_next_checkpoint_anew",),
    ),
    Mutant(
        "other-log", "repo/state/shortcuts.py",
        "                if number == head and self._log.read(number)[1] != found.previous:\n",
        "                if False:\n",
        "holding a checkpoint against the log", (_OTHER_LOG,),
    ),
    Mutant(
        "number-of-a-checkpoint", "repo/state/shortcuts.py",
        "        if found.number != number:\n",
        "        if False:\n",
        "holding the number of a checkpoint against its name", (),
        equivalent="the hash of the record that a checkpoint tells of is compared with the log, too",
    ),
    Mutant(
        "format-of-a-checkpoint", "repo/state/checkpoint.py",
        "    if found.format != (USERS_FORMAT if users else FORMAT):\n",
        "    if False:\n",
        "refusing checkpoints of another Saver",
        (f"{_LOG}::test_a_checkpoint_of_another_saver_is_not_believed",),
    ),
    Mutant(
        "made-anew", "repo/state/keeping.py",
        "    if found != root:\n", "    if False:\n",
        "leaving a checkpoint that somebody has made anew",
        (f"{_SHORTCUTS}::test_who_had_the_store_open_does_not_go_on_from_a_checkpoint_that_was_made_anew",),
    ),
    Mutant(
        "others-checkpoints", "repo/state/shortcuts.py",
        "        return found if found.previous == previous else None\n", "        return found\n",
        "holding a checkpoint that is there already against the log",
        (f"{_LOG}::test_a_checkpoint_that_others_made_is_not_taken_over_unless_it_is_of_this_log",),
    ),
    Mutant(
        "durable-records", "repo/state/shortcuts.py",
        "            self._storage.create(log_key(number), record)\n", "            pass\n",
        "making a record durable before a checkpoint tells of it",
        (f"{_LOG}::test_a_record_of_somebody_else_is_made_durable_before_a_checkpoint_tells_of_it",
         "stateful/test_crashes.py::test_a_power_loss_never_leaves_a_checkpoint_of_a_record_that_is_lost"),
    ),
    Mutant(
        "pages-first", "repo/state/keeping.py",
        "        *pages,\n    ]\n    old = due.old if spare is not None else ()\n    _, gone, _ = yield [\n",
        "    ]\n    old = due.old if spare is not None else ()\n"
        "    yield [partial(shortcuts.write_once, due.found, due.anew)]\n    yield pages\n"
        "    _, gone, _ = yield [\n",
        "the order: the pages of a checkpoint are there before it is",
        ("stateful/test_crashes.py::test_a_power_loss_while_bytes_move_and_checkpoints_are_kept",),
    ),
    Mutant(
        "pages-of-others", "repo/state/shortcuts.py",
        "only_in(roots[each], [roots[other] for other in kept])", "only_in(roots[each], [])",
        "leaving the pages that kept checkpoints need", (_LEFT,),
    ),
    Mutant(
        "pages-that-come-back", "repo/state/keeping.py",
        "tuple(sorted({*names} - new))", "tuple(names)",
        "leaving a page that a newer checkpoint needs again",
        ("repo/test_keeping.py::test_a_page_that_comes_back_is_kept_as_long_as_anything_needs_it",),
    ),
    Mutant(
        "checkpoints-of-others-in-between", "repo/state/keeping.py",
        " if spare.keys() >= {*before} else None", "",
        "finding out what old checkpoints need alone where none says it", (_LEFT,),
    ),
    Mutant(
        "pages-of-what-stays", "repo/state/keeping.py",
        " if gone else []", "",
        "leaving the pages of an old checkpoint that could not be deleted",
        ("repo/test_keeping.py::test_the_pages_of_an_old_checkpoint_that_cannot_be_deleted_stay",),
    ),
    Mutant(
        "late-rest", "repo/state/state.py",
        "            if self._view is view and view.due == wanted:", "            if True:",
        "resting only on a checkpoint that says all that the view says",
        ("repo/test_keeping.py::test_records_that_come_while_a_checkpoint_is_written_are_not_forgotten",),
    ),
    Mutant(
        "pages-of-some-others", "repo/state/pages.py",
        "        return set.intersection(*found) if found else", "        return found[0] if found else",
        "leaving the pages that any other map needs",
        (f"{_SHORTCUTS}::test_what_two_maps_share_is_not_only_in_one",),
    ),
    Mutant(
        "old-checkpoints", "repo/state/keeping.py",
        "        partial(shortcuts.drop, [*map(shortcuts.key, old)]),\n", "        lambda: False,\n",
        "dropping old checkpoints",
        ("repo/test_gc.py::test_old_checkpoints_are_dropped_by_who_makes_new_ones",),
    ),
    Mutant(
        "unwritable-checkpoints", "repo/state/state.py",
        "                        self._ignore(error)\n                        return\n",
        "                        raise\n",
        "saving on where a checkpoint cannot be written",
        (f"{_SHORTCUTS}::test_a_checkpoint_that_cannot_be_written_is_no_reason_not_to_save",),
    ),
    Mutant(
        "room", "repo/state/reserve.py",
        "        for key in RESERVE:\n            if storage.stat(key) is not None:\n",
        "        return False\n        for key in RESERVE:\n            if storage.stat(key) is not None:\n",
        "making room on a full disk", (_FULL,),
    ),
    Mutant(
        "reserve", "repo/state/reserve.py",
        "        if storage.stat(key) is None:\n            storage.put(key, Bytes(_RESERVED))\n",
        "        pass\n",
        "keeping room for the records of deletions", (_FULL,),
    ),
    Mutant(
        "room-of-shortcuts", "repo/state/reserve.py",
        '        keys = [found.key for found in own(storage, "state/")]\n',
        "        keys = []\n",
        "giving up checkpoints for room",
        ("repo/test_shortcuts.py::test_when_the_reserve_is_used_up_checkpoints_give_their_room",),
    ),
    Mutant(
        "broken-pages", "repo/state/view.py",
        "            value = self._pages.get(known.root, key)\n"
        "        except SaverError as error:\n"
        "            raise Broken(str(error)) from error\n",
        "            value = self._pages.get(known.root, key)\n"
        "        except SaverError:\n"
        "            raise\n",
        "going on by the log when a page cannot be read",
        (f"{_SHORTCUTS}::test_a_page_that_cannot_be_read_changes_no_answer",),
    ),
    Mutant(
        "broken-scans", "repo/state/view.py",
        "    except Broken:\n"
        "        raise\n"
        "    except SaverError as error:\n"
        "        raise Broken(str(error)) from error\n",
        "    except Broken:\n        raise\n",
        "going on by the log when a page cannot be read in the midst of a listing",
        (f"{_SHORTCUTS}::test_a_page_that_cannot_be_read_changes_no_answer",),
    ),
    Mutant(
        "read-twice", "repo/state/shortcuts.py",
        "        except SaverError:  # trying once more costs less than reading the whole log\n"
        "            return self._storage.read(page_key(name))\n",
        "        except SaverError:\n            raise\n",
        "reading a page once more", (),
        equivalent="without it the log is read, which says the same and takes longer",
    ),
    Mutant(
        "name-of-a-page", "repo/state/page.py",
        "    if blake3(data).hexdigest() != name:\n", "    if False:\n",
        "the hash of pages", ("repo/test_pages.py::test_a_changed_byte_is_found_and_its_page_named",),
    ),
    Mutant(
        "names-of-pages", "repo/state/page.py",
        "    if not _is_name(name):\n", "    if False:\n",
        "refusing names of pages that could lead elsewhere",
        ("repo/test_pages.py::test_the_root_must_be_a_name",),
    ),
    Mutant(
        "place-of-a-page", "repo/state/pages.py",
        "        if height is not None and (page.height != height or page.keys[0] != first):\n",
        "        if False:\n",
        "holding a page against the one above it", (_FIT,),
    ),
    Mutant(
        "end-of-a-page", "repo/state/pages.py",
        "        if end is not None and page.keys[-1] >= end:\n", "        if False:\n",
        "holding the keys of a page against those of the next",
        (_FIT, "repo/test_pages.py::test_a_page_deep_down_cannot_reach_beyond_its_uncle"),
    ),
    Mutant(
        "height-of-a-page", "repo/state/page.py",
        "        0 <= page.height <= MAX_HEIGHT\n        and len", "        len",
        "the limit on the height of the pages", (_PAGE,),
    ),
    Mutant(
        "keys-of-a-page", "repo/state/page.py",
        "        and len(page.keys) == len(items) > 0\n", "",
        "counting the keys of a page", (_PAGE,),
    ),
    Mutant(
        "order-of-a-page", "repo/state/page.py",
        "        and all(map(lt, page.keys, page.keys[1:]))\n", "",
        "the order of the keys of a page", (_PAGE,),
    ),
    Mutant(
        "kind-of-a-page", "repo/state/page.py",
        "        and not others\n", "",
        "refusing a page that is a leaf and none", (_PAGE,),
    ),
    Mutant(
        "children-of-a-page", "repo/state/page.py",
        "        and all(map(_is_name, page.pages))\n", "",
        "holding the names of a page's children against their form", (_PAGE,),
    ),
    Mutant(
        "removed-records", "repo/wholeness.py",
        "    _check_beyond(storage, state, _beyond(storage, state))\n", "    return\n",
        "refusing to write where the end of the log was removed", (_ENDS,),
    ),
    Mutant(
        "removed-records-read", "repo/wholeness.py",
        "    _check_beyond(storage, state, keys)\n", "    return\n",
        "refusing to read where the end of the log was removed", (_ENDS,),
    ),
    Mutant(
        "gaps", "repo/wholeness.py",
        "    check_gaps(storage, state, known)\n", "",
        "looking for gaps before a collection",
        ("repo/test_gc.py::test_a_gap_in_the_log_stops_the_collector",),
    ),
    Mutant(
        "gaps-at-the-end", "repo/wholeness.py",
        "    for number in range(expected, state.head + 1):\n", "    for number in ():\n",
        "looking for gaps after the last record that was listed", ("repo/test_gc.py", "repo/test_log.py"),
    ),
    Mutant(
        "late-checkpoints", "repo/wholeness.py",
        "        if number > state.head:\n            state.refresh()\n", "",
        "reading the log again before it is said that its end is missing",
        (f"{_HOSTILE}::test_a_checkpoint_that_is_made_while_one_looks_is_no_reason_to_stop",
        ),
    ),
    Mutant(
        "proof-of-removal", "repo/wholeness.py",
        "    return found.number if key == checkpoint_key(found.number) else 0",
        "    return found.number + 99",
        "believing only checkpoints that have their own name",
        ("attacks/test_hostile_stores.py::test_what_is_not_a_checkpoint_proves_nothing",),
    ),
]  # fmt: skip
