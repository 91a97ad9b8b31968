"""The log, and what it says."""

from __future__ import annotations

from .mutant import Mutant

_ONCE = "repo/test_log.py::test_a_number_is_taken_once"
_ANNOTATIONS = "repo/test_annotations.py"
_LOG = "repo/test_log.py"
_CANNOT_BE = f"{_LOG}::test_a_record_of_what_cannot_be_is_refused"

MUTANTS = [
    Mutant(
        "read-back-of-records", "repo/log.py",
        "        found, digest = self.read(record.number)\n"
        "        if found.transaction == record.transaction:\n"
        "            return digest\n",
        "",
        "knowing one's own record again after an answer was lost", (_ONCE,),
    ),
    Mutant(
        "transactions", "repo/log.py",
        "        if found.transaction == record.transaction:\n", "        if found:\n",
        "telling one's own record from that of another writer", (_ONCE,),
    ),
    Mutant(
        "hash-of-documents", "repo/document.py",
        "        if encode(found) == data:\n", "        if True:\n",
        "the hash of records and checkpoints", ("repo/test_document.py",),
    ),
    Mutant(
        "hash-of-strange-documents", "repo/document.py",
        "    if data[:_AT] != _PREFIX or data[_AT : _AT + 64] != expected.encode():", "    if False:",
        "the hash of documents that are not as Saver writes them", ("repo/test_document.py",),
    ),
    Mutant(
        "number-of-a-record", "repo/log.py",
        "        if record.number != number:\n", "        if False:\n",
        "holding the number of a record against its place", (f"{_LOG}::test_a_renamed_record_is_reported",),
    ),
    Mutant(
        "newer-records", "repo/log.py",
        "        if record.format != FORMAT:\n", "        if False:\n",
        "refusing records of a newer Saver",
        (f"{_LOG}::test_records_of_a_newer_saver_are_refused_by_name",),
    ),
    Mutant(
        "void-commits", "repo/commit.py",
        "        if self._is_announced and self._repo.state.void(self._transaction) is not None:\n",
        "        if False:\n",
        "giving up a commit that those who waited for it gave up",
        ("repo/test_interleavings.py::"
         "test_those_who_wait_for_a_commit_and_the_one_who_makes_it_agree_whether_it_took_place",),
    ),
    Mutant(
        "commits-before-a-void", "repo/settling.py",
        "            if counts and isinstance(event, Commit) and found is None:\n",
        "            if False:\n",
        "looking for a commit before giving it up",
        ("repo/test_interleavings.py::"
         "test_those_who_wait_for_a_commit_and_the_one_who_makes_it_agree_whether_it_took_place",),
    ),
    Mutant(
        "gap-at-the-head", "repo/log.py",
        "        if self._has(low + 2):\n", "        if False:\n",
        "looking for a gap next to the head",
        (f"{_LOG}::test_a_missing_record_is_reported_and_never_written_anew",),
    ),
    Mutant(
        "chain-of-records", "repo/state/view.py",
        "        if record.number != known.head + 1 or record.previous != known.previous:\n",
        "        if record.number != known.head + 1:\n",
        "the chain of records, each of which has the hash of the one before",
        (f"{_LOG}::test_copies_of_a_store_that_were_mixed_are_reported",),
    ),
    Mutant(
        "number-in-the-chain", "repo/state/view.py",
        "        if record.number != known.head + 1 or record.previous != known.previous:\n",
        "        if record.previous != known.previous:\n",
        "the number of the next record", (),
        equivalent="who reads a record holds its number against its place, which is the next one",
    ),
    Mutant(
        "version-numbers", "repo/state/values.py",
        "    if not model.last < event.number < NUMBER_LIMIT:\n", "    if False:\n",
        "refusing a version whose number was given before, or that no ref can name",
        (f"{_LOG}::test_a_number_is_given_once",),
    ),
    Mutant(
        "tags-of-nothing", "repo/state/effects.py",
        "if event.number is not None and facts.version(event.model, event.number) is None:",
        "if False:",
        "refusing a tag of a version that is not there", (_CANNOT_BE,),
    ),
    Mutant(
        "labels-of-nothing", "repo/state/effects.py",
        "        if model is None or not model.count:\n", "        if model is None:\n",
        "refusing labels and notes of a model of which nothing is left", (_ANNOTATIONS,),
    ),
    Mutant(
        "labels-in-records", "repo/labels.py",
        "    check_labels(changes)\n", "",
        "refusing labels that nobody could give", (_ANNOTATIONS,),
    ),
    Mutant(
        "too-many-labels", "repo/labels.py",
        "    if len(found) > LABELS_LIMIT:\n", "    if False:\n",
        "refusing more labels than one may have", (_ANNOTATIONS,),
    ),
    Mutant(
        "appending-what-can-be-read", "repo/appending.py",
        "            changes_of(record, state, f\"record {record.number:,}\")\n",
        "            pass\n",
        "appending no record that readers would refuse",
        ("repo/test_log.py::test_what_readers_would_refuse_is_never_appended",),
    ),
    Mutant(
        "sizes-in-records", "repo/state/values.py",
        "    if min(sizes) < 0 or max(sizes) > EXACT_INTEGER:\n",
        "    if False:\n",
        "refusing sizes and numbers of versions and parts that none can have", (_ANNOTATIONS,),
    ),
    Mutant(
        "added-of-models", "repo/state/values.py",
        "max(model.bytes_added - sum(lost), 0)", "model.bytes_added",
        "knowing what the versions that are left added to the store", (_ANNOTATIONS,),
    ),
    Mutant(
        "names-in-records", "repo/state/effects.py",
        "        check_model(model)\n        for tag in tags:\n            check_tag(tag)\n",
        "        pass\n",
        "refusing names of models and tags that nobody could give", (_CANNOT_BE,),
    ),
    Mutant(
        "apply-before-computing", "repo/state/view.py",
        "        reason = refusal(record, known.roles, self.tags)\n",
        "        self._known = known.after(record, digest, {}, record.number + 1, known.roles)\n"
        "        reason = refusal(record, known.roles, self.tags)\n",
        "the order: what a record changes is known before it counts as taken in",
        ("repo/test_shortcuts.py::test_a_record_that_cannot_be_applied_changes_nothing_that_a_view_says",),
    ),
    Mutant(
        "due-before-settled", "repo/state/view.py",
        "        self._known = known.after(record, digest, changes, interval, roles)\n",
        "        now = known.after(record, digest, changes, interval, roles)\n"
        "        old = {'settled': known.settled, 'settled_keys': known.settled_keys}\n"
        "        self._known = msgspec.structs.replace(now, **old)\n"
        "        self._known = now\n",
        "the one assignment: what is due is settled at every instant",
        ("stateful/test_interrupts.py::test_what_a_record_changes_is_seen_whole_or_not_at_all",),
    ),
    Mutant(
        "stale-keys", "repo/state/known.py",
        "_with(self.settled_keys, recent.keys() - self.settled.keys())", "self.settled_keys",
        "learning the keys of records that came", (_LOG,),
    ),
    Mutant(
        "stale-recent-keys", "repo/state/known.py",
        "_with(self.recent_keys, changes.keys() - self.recent.keys())", "self.recent_keys",
        "learning the keys of the newest records", (_LOG,),
    ),
    Mutant(
        "condemned-for-ever", "repo/state/effects.py",
        "        changes[gone_key(key)] = number\n", "",
        "remembering what was condemned", ("repo/test_gc.py",),
    ),
    Mutant(
        "freed", "repo/state/effects.py",
        "                changes[freed_key(key)] = record\n", "                pass\n",
        "remembering what a deletion may have freed", ("repo/test_gc.py",),
    ),
    Mutant(
        "tags-of-deleted", "repo/state/effects.py",
        "        if number in gone:\n            changes[tag_key(event.model, tag)] = None\n",
        "        pass\n",
        "taking tags away with their versions", (_LOG,),
    ),
    Mutant(
        "types-in-pages", "repo/state/facts.py",
        "    return msgspec.convert(value, KINDS[kind])\n", "    return value\n",
        "holding the values of pages against their types",
        ("attacks/test_hostile_stores.py::test_whatever_stands_in_a_store_it_loads_or_an_error_says_why_not",
        ),
    ),
]  # fmt: skip
