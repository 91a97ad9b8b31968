"""A save: in which order things are written, and when it is decided anew."""

from __future__ import annotations

from .mutant import Mutant

_MOMENTS = "repo/test_interleavings.py"
_TAKEN_OVER = f"{_MOMENTS}::test_a_save_that_another_thread_overtakes_within_one_repository_decides_anew"
_FASTER = "repo/test_one_file.py::test_a_thread_that_was_faster_costs_another_document_and_no_more"
_TAGGED = f"{_MOMENTS}::test_a_tag_that_another_thread_overtakes_within_one_repository_decides_anew"
_GC = "repo/test_gc.py"
_REPOSITORY = "repo/test_repository.py"
_FAILED = f"{_REPOSITORY}::test_a_save_that_fails_leaves_nothing_and_the_next_succeeds"
_UNKNOWN = f"{_REPOSITORY}::test_when_it_is_unknown_whether_a_record_was_written_nothing_is_deleted"
_FAILED_WITH = (
    "        if error is not None and not isinstance(error, CommitUnknownError) and not self._kept:\n"
)
_KEPT = "stateful/test_interrupts.py::test_an_interrupt_just_after_the_record_keeps_the_version"
_HEALS = "repo/test_check.py"

_PUSHED = "test_pushing.py"

MUTANTS = [
    Mutant(
        "objects-before-the-record", "repo/written.py",
        "        self.call(partial(self._storage.put, key, content))\n",
        "        content.write(_Nowhere())\n"
        "        self._late.append((key, content))\n",
        "the order: packs and manifests are durable before the record that needs them", (_FAILED,),
        more=(
            ("        self._keys: list[str] = []\n",
             "        self._keys: list[str] = []\n        self._late: list[Any] = []\n"),
            (_FAILED_WITH,
             "        while self._late:\n"
             "            self._storage.put(*self._late.pop())\n" + _FAILED_WITH),
            ("import Content, Storage\n", "import Content, Sink, Storage\n"),
            ("class Written:",
             "class _Nowhere(Sink):\n"
             "    def write(self, data: bytes | memoryview, offset: int) -> None:\n        pass\n\n"
             "    def write_aligned(self, data: memoryview, offset: int) -> None:\n        pass\n\n\n"
             "class Written:"),
        ),
    ),
    Mutant(
        "head-before-the-decision", "repo/commit.py",
        "            record = record_after(head, event,",
        "            record = record_after(repo.state.last(), event,",
        "the order: a save looks up the last record before it decides what comes next", (_TAKEN_OVER,),
    ),
    Mutant(
        "number-of-the-document", "repo/commit.py",
        "                stated = (*said(written)[:-1], event.packs)\n",
        "                stated = said(event)\n",
        "writing the document anew when a thread took its number", (_FASTER,),
    ),
    Mutant(
        "head-before-any-decision", "repo/repository.py",
        "            last = self.state.last()  # before the decision: other threads may move the state on "
        "meanwhile\n            event = decide()\n",
        "            event = decide()\n"
        "            last = self.state.last()\n",
        "the order: a writer looks up the last record before deciding", (_TAGGED,),
    ),
    Mutant(
        "decide-anew", "repo/repository.py",
        "        while True:\n"
        "            last = self.state.last()  # before the decision: other threads may move the state on "
        "meanwhile\n            event = decide()\n",
        "        event = decide()\n        while True:\n            last = self.state.last()\n",
        "deciding anew when another writer was faster", (_TAGGED, _GC),
    ),
    Mutant(
        "save-decides-anew", "repo/commit.py",
        "            if document is None or said(event) != stated or repo.state.gone(",
        "            if document is None or repo.state.gone(",
        "writing the manifest anew for another number", (_TAKEN_OVER,),
    ),
    Mutant(
        "condemned-packs", "repo/commit.py",
        "        if gone:\n", "        if False:\n",
        "looking before a commit whether its packs are condemned", (_GC,),
    ),
    Mutant(
        "condemned-packs-known", "repo/repository.py",
        "        if not gone:\n            return []\n", "        return []\n",
        "knowing which packs are condemned", (_GC,),
    ),
    Mutant(
        "condemned-manifests", "repo/commit.py",
        "            if document is None or said(event) != stated or "
        "repo.state.gone(document.key) is not None:\n",
        "            if document is None or said(event) != stated:\n",
        "looking before a commit whether its manifest is condemned", (_GC,),
    ),
    Mutant(
        "condemned-documents", "repo/paging.py",
        "if state.gone(tree_key(document)) is not None)", "if False)",
        "looking before a commit whether the documents of its parts are condemned",
        (f"{_MOMENTS}::test_a_saver_that_shares_documents_of_a_version_that_is_deleted_and_collected",),
    ),
    Mutant(
        "damaged-documents", "repo/sharing.py",
        '                trees.read(self._repo.storage, name, content, "")\n', "                pass\n",
        "sharing the document of a part only if it is sound",
        ("repo/test_trees.py::"
         "test_damage_of_a_document_is_named_costs_its_part_and_is_not_shared",),
    ),
    Mutant(
        "content-of-documents", "repo/trees.py",
        "    if content_hash(found) != content:\n", "    if False:\n",
        "holding the document of a part against what the manifest says of it",
        ("repo/test_trees.py::test_a_document_must_be_the_one_that_the_manifest_describes",),
    ),
    Mutant(
        "packs-with-manifests", "repo/gc/moving.py",
        "                stays = gone or users.is_manifest(pack_key(pack))\n",
        "                stays = gone\n",
        "leaving packs that hold the manifest of a live version where they are",
        ("repo/test_rules.py::test_unless_a_collector_keeps_packs_with_manifests_a_version_is_lost",),
    ),
    Mutant(
        "healed-packs-with-manifests", "repo/gc/condemning.py",
        "    if users.is_manifest(key):\n", "    if False:\n",
        "keeping packs that hold the manifest of a live version, and none of its bytes any more",
        ("repo/test_one_file.py::test_a_file_stays_though_all_its_bytes_were_healed_elsewhere",),
    ),
    Mutant(
        "remembered-packs", "repo/remembered.py",
        "        if digest == version.manifest and not self._condemned(shards):\n",
        "        if digest == version.manifest:\n",
        "looking whether what was saved last is condemned",
        (_GC, "repo/test_interleavings.py::test_a_saver_that_saves_again_what_it_remembers"),
    ),
    Mutant(
        "unknown-commits", "repo/commit.py",
        "        except CannotWriteError:\n            self._written.release()\n",
        "        except BaseException:\n            self._written.release()\n",
        "keeping what a record may need that may be there", (_UNKNOWN, _REPOSITORY),
    ),
    Mutant(
        "unknown-commits-reported", "repo/written.py",
        _FAILED_WITH,
        "        if error is not None and not self._kept:\n",
        "keeping what was written when it is unknown whether all of it was",
        ("repo/test_stage.py::test_a_save_of_which_it_is_unknown_whether_it_was_written_removes_nothing",),
    ),
    Mutant(
        "acknowledged-objects", "repo/commit.py",
        "        self._written.keep()\n", "",
        "keeping what a version needs once its record is there", (_KEPT,),
    ),
    Mutant(
        "keep-after-the-record", "repo/commit.py",
        "        self._written.keep()\n", "",
        "the order: what a record may need is kept before the record is written",
        (_KEPT,),
        more=(("        state.took(record, digest)\n",
               "        self._written.keep()\n        state.took(record, digest)\n"),),
    ),
    Mutant(
        "released-saves", "repo/commit.py",
        "        except CannotWriteError:\n            self._written.release()\n",
        "        except CannotWriteError:\n",
        "removing what was written when the record was not", (_FAILED,),
    ),
    Mutant(
        "failed-saves", "repo/written.py",
        "            self.remove(self._keys)\n", "            pass\n",
        "removing what a failed save wrote", (_FAILED,),
    ),
    Mutant(
        "own-manifest", "repo/commit.py",
        "                self._written.remove(self._documents[:-1])\n",
        "                self._written.remove(self._documents)\n",
        "keeping the manifest that the record names",
        (f"{_REPOSITORY}::test_versions_are_numbered_and_come_back_to_the_bit",),
    ),
    Mutant(
        "another-store", "repo/format.py",
        "    if found is None or found.id != known.id:\n", "    if found is None:\n",
        "refusing to go on in another store that came in the place of this one",
        ("stateful/test_resume.py::test_a_store_that_is_gone_is_never_begun_anew",),
    ),
    Mutant(
        "store-that-is-gone", "repo/repository.py",
        "self._format, *_ = self.state.refresh(partial(read_again, self.storage, self._format))",
        "self.state.refresh()",
        "refusing to begin a store anew whose folder is gone",
        ("stateful/test_resume.py::test_a_store_that_is_gone_is_never_begun_anew",),
    ),
    Mutant(
        "log-without-store", "repo/format.py",
        '        if next(storage.keys("log/"), None) is None:\n            return None\n',
        "        return None\n",
        "refusing to begin a store anew that lost its description",
        (f"{_REPOSITORY}::test_a_log_without_its_store_is_not_taken_for_a_new_store",),
    ),
    Mutant(
        "live-manifests", "repo/sharing.py",
        "if version is None or version.manifest != manifest:", "if version is None:",
        "holding the manifest that the index names against that in the log", (),
        equivalent="the hash of each tensor is compared with that in the manifest of the live version, too",
    ),
    Mutant(
        "confirmed-hashes", "repo/sharing.py",
        "if known is not None and known.hash == digest:", "if known is not None:",
        "holding what the index says against the manifest",
        (f"{_REPOSITORY}::test_an_index_that_lies_costs_bytes_and_no_version",),
    ),
    Mutant(
        "harmed-elsewhere", "repo/sharing.py",
        "        return {name: item for name, item in known.items() if name not in harmed}",
        "        return known",
        "leaving damaged tensors that the index knows", (),
        equivalent="the commit looks, too, and has what is damaged staged again",
    ),
    Mutant(
        "harmed-parents", "repo/sharing.py",
        "self._sources.append({name: item for name, item in known.items() if name not in harmed})",
        "self._sources.append(known)",
        "leaving damaged tensors of the version before", (),
        equivalent="the commit looks, too, and has what is damaged staged again",
    ),
    Mutant(
        "condemned-pages", "repo/paging.py",
        "for key in needed if state.gone(key) is not None)", "for key in needed if False)",
        "looking before a commit whether a page, or a pack that it names, is condemned",
        ("distributed/test_saving_together.py::"
         "test_what_a_collector_condemns_meanwhile_is_staged_again_by_its_rank",),
    ),
    Mutant(
        "harmed-meanwhile", "repo/paging.py",
        "*repo.condemned(known), *repo.extents.harmed(known)}",
        "*repo.condemned(known)}",
        "having staged again what a check found damaged since",
        ("repo/test_stage.py::test_what_a_check_found_damaged_since_it_was_staged_is_staged_again",),
    ),
    Mutant(
        "harmed-places", "repo/extents.py",
        "        return length > 0 and at < len(self._starts) and self._starts[at] < offset + length",
        "        return False",
        "knowing which places are damaged", (_HEALS,),
    ),
    Mutant(
        "healing", "repo/commit.py",
        "heal(self._repo, version, merged.harmed,", "heal(self._repo, version, (),",
        "healing older versions with what is written anew", (_HEALS,),
    ),
    Mutant(
        "healing-with-condemned", "repo/healing.py",
        "        if repo.condemned(new):\n            return None\n", "",
        "healing by nothing that is condemned",
        (f"{_MOMENTS}::test_a_version_that_is_deleted_while_it_heals_another",),
    ),
    Mutant(
        "far-is-hashed", "repo/dedup.py",
        "    if far and not known_hashes:\n", "    if False:\n",
        "hashing all tensors, rather than reading what is there, where calls are slow",
        ("storages/test_counting.py::test_a_save_of_many_large_tensors_waits_no_longer_than_one_of_few",),
    ),
    Mutant(
        "hashed-of-small-packs", "repo/stage.py",
        "writing.hashed if size > SMALL and some.keys()", "writing.hashed if some.keys()",
        "hashing a small pack anew once its bytes are copied",
        ("repo/test_stage.py::test_bytes_that_change_after_they_were_hashed_are_saved_as_they_are_then",),
    ),
    Mutant(
        "same-blocks", "repo/dedup.py",
        "blake3(memory[start:end].data).hexdigest() == candidate[1]\n",
        "blake3(memory[start:end].data).hexdigest() != \"\"\n",
        "comparing a block to the end before it is shared",
        (f"{_REPOSITORY}::test_a_block_that_only_begins_like_another_one_is_not_shared",),
    ),
    Mutant(
        "length-of-shared", "repo/dedup.py",
        "if name not in whole and known is not None and known.length == lengths[name]:",
        "if name not in whole and known is not None:",
        "comparing lengths before a tensor is shared",
        (f"{_REPOSITORY}::test_a_small_tensor_that_spells_the_hash_of_a_large_one_is_not_taken_for_it",),
    ),
    Mutant(
        "tensors-of-a-pack", "repo/stage.py",
        "        while some := dict(islice(left, PACK_TENSORS)):\n", "        while some := dict(left):\n",
        "the limit on tensors in one pack",
        (f"{_REPOSITORY}::test_a_pack_holds_a_bounded_number_of_tensors",),
    ),
    Mutant(
        "room-for-deletions", "repo/repository.py",
        "if is_full(error) and isinstance(event, Delete | Condemn) and make_room(self.storage):", "if False:",
        "room for deletions on a full disk",
        ("repo/test_shortcuts.py::test_on_a_full_disk_versions_can_be_deleted_and_freed",),
    ),
    Mutant(
        "pushed-over-others", "pushing.py",
        "        if not _same(source, ours[number], target, theirs[number]):\n",
        "        if False:\n",
        "the comparison of versions that have the same number in both stores",
        (f"{_PUSHED}::test_other_versions_of_the_same_numbers_are_refused_and_nothing_is_changed",),
    ),
    Mutant(
        "pushed-number-taken", "repo/numbered.py",
        "    if wanted <= last:\n",
        "    if wanted < 0:\n",
        "the refusal of a pushed version whose number was given meanwhile",
        (f"{_PUSHED}::test_somebody_who_saves_there_meanwhile_is_not_overtaken",),
    ),
    Mutant(
        "notes-of-another-push", "repo/resumable.py",
        "            if not there or each.store != self._repo.format().id or not _is_of(each, group):\n",
        "            if not there or each.store != self._repo.format().id:\n",
        "the comparison of what was staged before an interruption with what is pushed",
        (f"{_PUSHED}::test_notes_that_are_not_those_of_this_push_cost_time_and_nothing_else",),
    ),
]  # fmt: skip
