"""Reading: what is held against each other before anything is handed out, and how much is believed."""

from __future__ import annotations

from .mutant import Mutant

_STORES = "attacks/test_hostile_stores.py"
_PLACES = "repo/test_extents.py"
_BUDGET = "attacks/test_budget.py"
_FIELDS = f"{_STORES}::test_a_check_names_the_version_and_the_field"
_HEADERS = f"{_STORES}::test_a_pack_whose_header_says_something_else_than_the_manifest_is_damaged"
_ANYTHING = f"{_STORES}::test_whatever_stands_in_a_store_it_loads_or_an_error_says_why_not"


def _field(name: str, code: str) -> Mutant:
    """A field of which the log and the manifest may say different things."""
    return Mutant(
        f"agreement-{name}", "repo/agreement.py", f"    {code}\n", "",
        f"comparing the {name} in the log with that in the manifest", (_FIELDS,),
    )  # fmt: skip


MUTANTS = [
    _field("model", 'yield "model", version.model, manifest.model'),
    _field("number", 'yield "number", version.number, manifest.number'),
    _field("parent", 'yield "parent", version.parent, manifest.parent'),
    _field("step", 'yield "step", version.step, manifest.step'),
    _field("notes", 'yield "notes", version.saved_notes, manifest.notes'),
    _field("author",
    'if version.author and manifest.author:\n        yield "author", version.author, manifest.author'),
    _field("metrics", '    yield from _items("metric", _plain(version.metrics), _plain(metrics))'),
    _field("parts", 'yield from _items("part", logged, found)'),
    _field("packs", 'yield "packs", version.packs, manifest.packs'),
    Mutant(
        "agreement", "repo/repository.py",
        "        check_agreement(version, found)\n", "",
        "comparing the log with the manifest at all", (_FIELDS,),
    ),
    Mutant(
        "hash-of-files", "repo/described.py",
        "    if pack.hash != version.manifest:", "    if False:",
        "holding the header of a file against the record",
        ("repo/test_one_file.py::test_another_file_in_its_place_is_damage",),
    ),
    Mutant(
        "hash-of-manifests", "repo/described.py",
        "    if blake3(data).hexdigest() != version.manifest:", "    if False:",
        "the hash of manifests", ("repo/test_check.py",),
    ),
    Mutant(
        "hash-of-pages", "repo/pages.py",
        "    if blake3(data).hexdigest() != name:\n", "    if False:\n",
        "the hash of pages",
        ("attacks/test_hostile_grids.py::"
         "test_bytes_of_a_page_that_are_not_those_that_were_written_are_damage",),
    ),
    Mutant(
        "boxes-of-pages", "repo/pages.py",
        "                check_boxes(shape, [shard.box for shard in found])\n", "                pass\n",
        "checking that what pages have of a tensor tiles it",
        ("attacks/test_hostile_grids.py::test_two_shards_over_each_other_and_a_gap_are_refused",),
    ),
    Mutant(
        "parts-of-boxes", "repo/pages.py",
        "                check_boxes(box.sizes, sorted(parts, key=lambda part: part.offsets))\n", "",
        "checking that what pages have of a box tiles it",
        ("attacks/test_hostile_grids.py::test_two_shards_over_each_other_and_a_gap_are_refused",),
    ),
    Mutant(
        "grids-of-manifests", "repo/manifest.py",
        "        if manifest.grid is None or grid.FEATURE not in manifest.requires or manifest.tensors:\n",
        "        if manifest.grid is None:\n",
        "refusing a manifest that contradicts itself about its form",
        ("attacks/test_hostile_grids.py::"
         "test_a_manifest_that_contradicts_itself_about_its_form_is_refused",),
    ),
    Mutant(
        "packs-of-manifests", "repo/forms.py",
        "                if pack >= packs:", "                if False:",
        "refusing tensors in packs that the manifest does not name", (_PLACES,),
    ),
    Mutant(
        "axes-in-stores", "repo/forms.py",
        "Annotated[tuple[_Natural, ...], msgspec.Meta(max_length=AXES_LIMIT)]", "tuple[_Natural, ...]",
        "the limit on the axes of a tensor, in stores", (_PLACES,),
    ),
    Mutant(
        "features-of-manifests", "repo/manifest.py",
        "    if missing:\n", "    if False:\n",
        "refusing a file that needs what this Saver does not have",
        ("attacks/test_hostile_headers.py::test_a_required_feature_is_refused_by_name",),
    ),
    Mutant(
        "features-of-stores", "repo/format.py",
        "    if missing:\n", "    if False:\n",
        "refusing a store that needs what this Saver does not have",
        ("repo/test_repository.py::test_features_of_the_future_are_refused_by_name",),
    ),
    Mutant(
        "format-of-stores", "repo/format.py",
        "    if number != FORMAT:\n", "    if False:\n",
        "refusing a store of another format",
        ("repo/test_repository.py::test_a_store_of_another_format_is_refused",),
    ),
    Mutant(
        "verified-before-use", "pack/source.py",
        "            lost |= damaged([(blobs[pack], ranges[pack]) for pack in some], report)\n", "",
        "verifying the tensors of a store before they are handed out",
        ("repo/test_check.py::test_a_damaged_byte_anywhere_is_found_and_never_loaded",),
    ),
    Mutant(
        "look-again", "pack/source.py",
        "                if not moved:\n", "                if True:\n",
        "looking again where bytes are that a collector moved",
        ("repo/test_reading.py::test_what_was_verified_is_not_taken_from_elsewhere_once_it_was_moved",),
    ),
    Mutant(
        "open-files", "pack/opening.py",
        "TOGETHER = 64\n", "TOGETHER = 1 << 40\n",
        "the limit on packs that are open at once",
        ("repo/test_reading.py::test_a_version_in_many_packs_is_loaded_with_few_files_open",),
    ),
    Mutant(
        "open-files-ignored", "pack/source.py",
        "some = packs[at : at + opening.TOGETHER]\n", "some = packs if at == 0 else []\n",
        "opening a few packs at a time",
        ("repo/test_reading.py::test_a_version_in_many_packs_is_loaded_with_few_files_open",),
    ),
    Mutant(
        "own-arrays", "pack/source.py",
        "found.copy() if name in self._shared[1] else found", "found",
        "giving tensors that share bytes arrays of their own",
        (
            "repo/test_reading.py::test_tensors_that_share_bytes_are_loaded_as_arrays_of_their_own",
            "repo/test_shards.py::test_boxes_that_share_bytes_are_read_as_arrays_of_their_own",
        ),
    ),
    Mutant(
        "forks", "forks.py",
        "    _known[obj] = begin  # type: ignore[assignment]\n", "",
        "beginning anew in a forked child",
        ("repo/test_reading.py::test_a_forked_child_loads_whatever_threads_of_its_parent_held",),
    ),
    Mutant(
        "whole-length", "tensors/shards.py",
        "sum([size for _, _, size in extents]) != length or ", "",
        "holding the places of a tensor against its length", (_PLACES,),
    ),
    Mutant(
        "blocks-in-stores", "tensors/shards.py",
        " or len(self.blocks) != block_count(length):", ":",
        "counting the blocks of a tensor in a store", (_PLACES,),
    ),
    Mutant(
        "one-place", "tensors/shards.py",
        "            return len(extents) <= 1\n", "            return True\n",
        "refusing small tensors in several places", (_PLACES,),
    ),
    Mutant(
        "whole-blocks", "tensors/shards.py",
        "        return all(size % hashing.BLOCK == 0 for _, _, size in self.extents[:-1])",
        "        return True",
        "refusing places that are no whole blocks", (_PLACES,),
    ),
    Mutant(
        "moves-in-circles", "repo/extents.py",
        "    raise IncompatibleError(\n        f\"the log says that bytes",
        "    return found\n    raise IncompatibleError(\n        f\"the log says that bytes",
        "the limit on how often bytes have moved", (_PLACES,),
    ),
    Mutant(
        "moves-apart", "repo/extents.py",
        "        if one[0] + one[1] > other[0]:\n", "        if False:\n",
        "refusing two moves of the same bytes", (_PLACES,),
    ),
    Mutant(
        "newest-move", "repo/state/moves.py",
        "        for number in self._state.moved(pack):\n",
        "        for number in self._state.moved(pack)[:1]:\n",
        "the newer of two moves out of a pack", (_PLACES,),
    ),
    Mutant(
        "header-name", "repo/headers.py",
        "    if packed is None:\n        return",
        "    if packed is None:\n        return None\n    if False:\n        return",
        "telling that the header of a pack does not name a tensor", (_HEADERS,),
    ),
    Mutant(
        "header-form", "repo/headers.py",
        "    if (packed.dtype, packed.box) != (shard.dtype, shard.box):", "    if False:",
        "telling that the header of a pack gives a tensor another form", (_HEADERS,),
    ),
    Mutant(
        "header-hash", "repo/headers.py",
        "    if (packed.hash, packed.blocks) != (shard.hash, shard.blocks):", "    if False:",
        "telling that the header of a pack gives a tensor another hash", (),
        equivalent="bytes match one of two hashes at most, so that they are reported as damaged anyway",
    ),
    Mutant(
        "header-place", "repo/headers.py",
        "    if [extent[1:] for extent in packed.extents] != [extent[1:] for extent in shard.extents]:",
        "    if False:",
        "telling that the header of a pack places a tensor elsewhere", (),
        equivalent="bytes from elsewhere have another hash, which is reported, or are the same",
    ),
    Mutant(
        "header-id", "repo/packs.py",
        "        if pack.id != name:\n", "        if False:\n",
        "telling that a pack calls itself another one", (_HEADERS,),
    ),
    Mutant(
        "cut-packs", "repo/packs.py",
        "        if found.beyond:\n", "        if False:\n",
        "telling that a pack is cut off", ("repo/test_cut_packs.py",),
    ),
    Mutant(
        "checked-bytes", "repo/packs.py",
        "        bad = [by_name[name] for name in sorted(damaged([(blob, ranges)]), key=int)]\n",
        "        bad = []\n",
        "telling in a check of bytes that are not those of the manifest", ("repo/test_check.py",),
    ),
    Mutant(
        "checked-log", "repo/check.py",
        "            if record.previous != self._previous:\n", "            if False:\n",
        "following the chain of records in a check",
        ("repo/test_check.py::test_a_record_that_was_exchanged_is_found_though_a_checkpoint_makes_it_unnecessary",),
    ),
    Mutant(
        "checked-state", "repo/replay.py",
        " if found.get(ref) != logged.get(ref)]\n", " if False]\n",
        "holding the newest checkpoint against the log",
        (f"{_STORES}::test_a_checkpoint_that_says_something_else_than_the_log_is_named",),
    ),
    Mutant(
        "checked-models", "repo/replay.py",
        " if models.get(name) != self.models.get(name)]", " if False]",
        "holding what the newest checkpoint says of models against the log",
        ("repo/test_annotations.py::"
         "test_check_names_a_model_of_which_a_checkpoint_says_something_else",),
    ),
    Mutant(
        "checked-pages", "repo/mending.py",
        '        if f"/{blake3(data).hexdigest()}." not in key:\n', "        if False:\n",
        "verifying pages in a check",
        ("repo/test_shortcuts.py::test_any_shortcut_may_be_damaged_for_good_and_the_next_writer_mends_it",),
    ),
    Mutant(
        "missing-pages", "repo/mending.py",
        "        for key, number in shortcuts.missing_pages(state.head, there):\n",
        "        for key, number in ():\n",
        "telling of missing pages",
        ("repo/test_shortcuts.py::test_any_shortcut_may_be_damaged_for_good_and_the_next_writer_mends_it",),
    ),
    Mutant(
        "recorded-damage", "repo/check.py",
        "            return Harm(places) if places else None\n", "            return None\n",
        "keeping damage in the log", ("repo/test_check.py",),
    ),
    Mutant(
        "bytes-of-a-load", "codec/budget.py",
        "        if self.bytes < 0 or self.steps < 0:\n", "        if self.steps < 0:\n",
        "the limit on bytes that a file may ask for",
        (_BUDGET,),
    ),
    Mutant(
        "steps-of-a-load", "codec/budget.py",
        "        if self.bytes < 0 or self.steps < 0:\n", "        if self.bytes < 0:\n",
        "the limit on steps that a file may ask for",
        (_BUDGET,),
    ),
    Mutant(
        "steps-of-nodes", "codec/decoder.py",
        "        if budget.steps < 0:\n", "        if False:\n",
        "the limit on how many objects are built",
        (_BUDGET,),
    ),
    Mutant(
        "bytes-of-tensors", "codec/tensors.py",
        "        self.budget.charge(found.nbytes)\n        if found.size", "        if found.size",
        "the limit on tensors that are used many times",
        (_BUDGET,),
    ),
    Mutant(
        "checks-of-saves", "codec/encoder.py",
        "        if codec.careful:\n", "        if False:\n",
        "asking before a save what is asked after a load",
        ("families/test_sklearn_ways.py::test_what_could_not_be_loaded_is_refused_when_it_is_saved",),
    ),
    Mutant(
        "names-of-classes", "trust.py",
        "    if found is not cls:\n", "    if False:\n",
        "looking whether the name of a class leads to it",
        ("families/test_whole_or_refused.py::test_a_class_that_its_name_does_not_lead_to_is_refused",),
    ),
    Mutant(
        "checks-of-loads", "codec/decoder.py",
        "        for step in (\"claim\", \"check\"):\n", "        for step in ():\n",
        "checking objects as a whole when everything is built",
        ("attacks/test_sklearn_state.py::test_support_vectors",),
    ),
    Mutant(
        "depth-of-trees", "tree/parsing.py",
        "        if depth >= MAX_JSON_DEPTH:\n", "        if False:\n",
        "the limit on the depth of trees",
        ("test_tree.py::test_a_tree_may_be_deep_but_not_endless",),
    ),
    Mutant(
        "reserved-keys", "tree/parsing.py",
        "                if key[:1] in _RESERVED_FIRST and reserved(key) and key != \"$order\":\n",
        "                if False:\n",
        "refusing keys that could become pointers",
        ("test_tree.py::test_reserved_keys_are_refused_wherever_they_stand",),
    ),
    Mutant(
        "keys-twice", "strict.py",
        "        if key in found:\n", "        if False:\n",
        "refusing keys that stand there twice",
        ("test_tree.py::test_what_readers_could_disagree_about_is_refused",),
    ),
    Mutant(
        "large-numbers", "strict.py",
        "        if _MANY not in zeros and b", "        if b",
        "looking for integers that readers take for others",
        ("test_strict.py",),
    ),
    Mutant(
        "whole-floats", "strict.py",
        'if b".0," not in data and b".0]" not in data and b".0}" not in data:', "if True:",
        "looking for floats that readers take for integers",
        ("test_strict.py",),
    ),
    Mutant(
        "parts-of-a-version", "encoding.py",
        "or not 0 < len(obj) <= PARTS_LIMIT:", "or not 0 < len(obj):",
        "the limit on parts", ("test_file.py",),
    ),
]  # fmt: skip
