"""Seals: what is secret, and what of a sealed object is believed."""

from __future__ import annotations

from .mutant import Mutant

_ATTACKS = "attacks/test_hostile_seals.py"
_PACK = f"{_ATTACKS}::test_every_bit_of_the_header_of_a_pack_counts"
_DOCUMENT = f"{_ATTACKS}::test_every_bit_of_a_document_counts"
_FOREIGN = f"{_ATTACKS}::test_the_seal_or_the_keys_of_another_store_open_nothing"
_PLAIN = f"{_ATTACKS}::test_an_object_that_is_not_sealed_is_refused_in_a_sealed_store"
_GOLDEN = "golden/test_sealed_format.py::test_sealed_stores_of_the_first_format_are_read_forever"
_SAME = "golden/test_sealed_format.py::test_what_was_sealed_becomes_the_same_bytes_again"
_TWICE = "seals/test_segments.py::test_a_byte_that_is_written_twice_or_not_at_all_is_noticed"
_THREADS = "seals/test_segments.py::test_threads_that_write_the_same_segment_encrypt_it_once"
_REPLACED = "seals/test_sealed_anew.py::test_threads_read_on_what_is_sealed_anew_meanwhile"
_CLEAR = "attacks/test_nothing_in_clear.py"
_LOST = f"{_ATTACKS}::test_an_enemy_cannot_put_a_store_without_a_seal_in_the_place_of_one"

MUTANTS = [
    Mutant(
        "seal-commitment", "seals/aead.py",
        "    if not hmac.compare_digest(commitment, claimed):\n", "    if False:\n",
        "comparing the commitment to the key before anything is decrypted", (_PACK, _DOCUMENT),
    ),
    Mutant(
        "seal-commitment-form", "seals/layout.py",
        're.compile(r"[0-9a-f]{64}")', 're.compile(r"[0-9a-fA-F]{64}")',
        "refusing capital digits in the commitment, which it does not cover itself", (_PACK,),
    ),
    Mutant(
        "seal-name", "seals/aead.py",
        'return b"saver 1\\0" + name.encode() + b"\\0"', 'return b"saver 1\\0" + b"\\0"',
        "binding the key of an object to its name",
        (f"{_ATTACKS}::test_segments_of_another_object_version_store_or_key_are_refused",
         f"{_ATTACKS}::test_an_object_in_the_place_of_another_is_refused"),
    ),
    Mutant(
        "seal-header", "seals/aead.py", "blake3(header).digest()", "blake3(b'').digest()",
        "binding the key of an object to its header", (_SAME,),
    ),
    Mutant(
        "seal-store", "storages/sealed.py",
        '        return f"{self.ident}/{key}"\n', '        return key\n',
        "binding the key of an object to its store",
        (f"{_ATTACKS}::test_an_object_of_another_store_with_the_same_keys_is_refused",),
    ),
    Mutant(
        "seal-tag", "seals/opening.py",
        "            self._decrypt_again(number, memory)\n", "            pass\n",
        "refusing a segment whose tag is wrong",
        (f"{_ATTACKS}::test_a_flipped_bit_of_a_segment_closes_that_segment",),
    ),
    Mutant(
        "seal-or-nothing", "opening.py",
        "                blob = unsealed(blob, key)\n",
        "                try:\n"
        "                    blob = unsealed(blob, key)\n"
        "                except IncompatibleError:\n"
        "                    return formats.of_content(blob).open(blob, beside)\n",
        "refusing a file whose seal cannot be opened, rather than reading its bytes as tensors",
        (f"{_ATTACKS}::test_a_pack_of_a_store_is_not_read_as_plain_tensors",),
    ),
    Mutant(
        "seal-notes-of-ranks", "distributed/corners.py",
        "blake3(key.encode(), key=self._key)", "blake3(key.encode())",
        "hiding the name of a run in the keys of its ranks' notes",
        (f"{_CLEAR}::test_notes_of_ranks_without_the_key_are_refused",),
    ),
    Mutant(
        "seal-notes-in-clear", "distributed/corners.py",
        "    return None if mask is None else mask.notes\n", "    return None\n",
        "sealing what the ranks of a sealed store tell each other",
        (f"{_CLEAR}::test_ranks_leave_nothing_in_clear",),
    ),
    Mutant(
        "seal-passed-on", "distributed/corners.py",
        "None if cluster.network is None else self._sealed_network", "cluster.network",
        "sealing the bytes that ranks of a sealed store pass on",
        (f"{_CLEAR}::test_ranks_leave_nothing_in_clear",),
    ),
    Mutant(
        "seal-passed-bound", "distributed/corners.py",
        'return f"{self._name}/{sender}/{tag}"', "return self._name",
        "binding what ranks pass on to its sender and place",
        (f"{_CLEAR}::test_what_ranks_pass_on_is_bound_to_sender_tag_and_network",),
    ),
    Mutant(
        "seal-plaintext", "seals/opening.py",
        "            memory[:] = bytes(length)\n", "",
        "wiping what was decrypted under a wrong tag",
        (f"{_ATTACKS}::test_after_a_wrong_tag_no_plaintext_is_left",),
    ),
    Mutant(
        "seal-read-again", "seals/opening.py",
        "            if self.blob.anew([(start, end)]):\n", "            if False:\n",
        "reading again what was kept wrongly of a sealed pack",
        (f"{_CLEAR}::test_what_is_kept_of_a_bucket_may_be_wrong",),
    ),
    Mutant(
        "seal-read-on", "seals/opening.py",
        "            return self._again is not None\n", "            return False\n",
        "reading on what another thread noticed to be sealed anew", (_REPLACED,),
    ),
    Mutant(
        "seal-anew-damaged", "repo/resealing.py",
        "        blob.read(0, 0)  # raises if it was cut off: then nobody knows its size\n", "",
        "leaving a pack as it is that is found cut off when it should be sealed anew",
        ("seals/test_sealed_anew.py::test_no_fault_while_a_store_is_sealed_anew_loses_anything",),
    ),
    Mutant(
        "seal-epoch", "seals/aead.py",
        "                if epoch_of(key) == epoch:\n", "                if True:\n",
        "opening an object with the data key that sealed it", (_GOLDEN,),
    ),
    Mutant(
        "seal-of-documents", "seals/aead.py",
        "        if data[: len(MAGIC)] != MAGIC or len(data) < _FIRST + TAG:\n",
        "        if len(data) < _FIRST + TAG:\n",
        "refusing documents that do not begin as sealed ones do", (_DOCUMENT,),
    ),
    Mutant(
        "seal-segment-twice", "seals/segments.py",
        "            if self._done[numbers.start : numbers.stop].any():\n", "            if False:\n",
        "refusing to encrypt a segment twice, under one nonce", (_THREADS, _TWICE),
    ),
    Mutant(
        "seal-byte-twice", "seals/segments.py",
        "            if self._done[number] or there[place].any():\n", "            if False:\n",
        "refusing a second write to part of a segment", (_TWICE,),
    ),
    Mutant(
        "seal-all-segments", "seals/segments.py",
        "        if self._waiting or not self._done.all():\n", "        if False:\n",
        "refusing to finish a pack of which bytes are missing", (_TWICE,),
    ),
    Mutant(
        "seal-size", "seals/aead.py", "        if head.size != size:\n", "        if False:\n",
        "refusing packs of stores whose header is longer than one page",
        (f"{_ATTACKS}::test_a_pack_whose_header_has_several_pages_is_not_one_of_a_store",),
        more=(("Grid(size, head.first)", "Grid(head.size, head.first)"),),
    ),
    Mutant(
        "seal-cut", "seals/layout.py",
        "    if not same or length + stored + table != blob.size or head.size < 0:\n",
        "    if not same or head.size < 0:\n",
        "refusing sealed packs that were cut",
        (f"{_ATTACKS}::test_a_pack_that_was_cut_anywhere_is_refused",
         f"{_ATTACKS}::test_a_file_that_was_cut_anywhere_is_refused"),
    ),
    Mutant(
        "seal-numbers", "seals/layout.py",
        "        if not type(stored) is type(table) is int or not all(", "        if not all(",
        "refusing sizes that are not whole numbers",
        (f"{_ATTACKS}::test_a_forged_header_is_refused",),
    ),
    Mutant(
        "seal-key-of-file", "sealing.py", "    if len(found) != KEY:\n", "    if False:\n",
        "refusing files whose key has another length",
        (f"{_ATTACKS}::test_a_file_whose_key_has_another_length_is_refused",),
    ),
    Mutant(
        "seal-unknown", "sealing.py", '        if seal.get("seal") != SEAL:\n', "        if False:\n",
        "refusing stores with a seal that this version does not know", (_FOREIGN,),
    ),
    Mutant(
        "seal-plain-names", "seals/names.py",
        "            return key if _PLAIN.fullmatch(key) is None else None\n", "            return key\n",
        "ignoring objects under names that are not sealed", (_PLAIN,),
    ),
    Mutant(
        "seal-lost", "storages/sealed.py",
        "        if seal is None:\n            if self._new:\n",
        "        if seal is None:\n            if False:\n",
        "refusing a store without a seal where a key was given", (_LOST,),
    ),
    Mutant(
        "seal-notes", "repo/resumable.py",
        "file.write(notes if mask is None else mask.masked(notes.decode()).encode())", "file.write(notes)",
        "hiding the notes of a push into a sealed store",
        (f"{_CLEAR}::test_pushes_leave_nothing_in_clear_even_if_they_are_interrupted",),
    ),
    Mutant(
        "seal-index", "repo/index/hidden.py",
        "name=self._mask.masked(row.name)", "name=row.name",
        "hiding names in the index of a sealed store",
        (f"{_CLEAR}::test_saves_and_changes_leave_nothing_in_clear",),
    ),
    Mutant(
        "seal-index-hashes", "repo/index/hidden.py",
        "hash=self._keyed(row.hash.encode()).hex()", "hash=row.hash",
        "hiding hashes in the index of a sealed store",
        (f"{_CLEAR}::test_saves_and_changes_leave_nothing_in_clear",),
    ),
    Mutant(
        "seal-cache", "addresses.py",
        "    if not blob.fetchers or storage.mask is not None:\n", "    if not blob.fetchers:\n",
        "keeping packs of a sealed bucket as they are sealed",
        (f"{_CLEAR}::test_what_is_kept_of_a_bucket_is_sealed",),
    ),
]  # fmt: skip
