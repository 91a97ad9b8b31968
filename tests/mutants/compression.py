"""Compressed packs."""

from __future__ import annotations

from .mutant import Mutant

_HOSTILE = "attacks/test_hostile_compression.py"
_WRITTEN = "seals/test_compressing.py"
_LIES = f"{_HOSTILE}::test_a_table_that_lies_is_refused"
_FRAMES = f"{_HOSTILE}::test_a_frame_that_is_not_what_it_should_become_is_refused"

MUTANTS = [
    Mutant(
        "hash-of-tables", "seals/decompressing.py",
        " or header_for(self.cuts, stored, table) != self._header:\n", ":\n",
        "the hashes of the table and the header of a compressed file",
        (f"{_HOSTILE}::test_every_byte_of_header_table_and_padding_is_vouched_for",),
    ),
    Mutant(
        "places-of-frames", "seals/frames.py",
        'np.array_equal(by_place["offset"], ends - lengths)\n', "True\n",
        "refusing frames that overlap", (f"{_HOSTILE}::test_two_frames_do_not_share_their_bytes",),
    ),
    Mutant(
        "items-of-frames", "seals/frames.py",
        'and np.isin(rows["item"], ITEMS).all()\n', "and True\n",
        "refusing items of unknown sizes", (_LIES,),
    ),
    Mutant(
        "sizes-of-frames", "seals/zstd.py",
        "        if _announced(data) != size:\n", "        if False:\n",
        "asking a frame what it becomes before it is decompressed", (_FRAMES,),
    ),
    Mutant(
        "ends-of-frames", "seals/zstd.py",
        "allow_extra_data=False", "allow_extra_data=True",
        "refusing bytes behind a frame", (_FRAMES,),
    ),
    Mutant(
        "between-frames", "seals/decompressing.py",
        "        if any(data[length:]):\n", "        if False:\n",
        "refusing bytes between frames", (f"{_HOSTILE}::test_bytes_between_frames_are_refused",),
    ),
    Mutant(
        "copies-of-frames", "seals/decompressing.py",
        "            if not self._blob.anew([place]):\n", "            if True:\n",
        "reading a frame again whose copy is damaged",
        (f"{_WRITTEN}::test_a_wrong_copy_is_read_again",),
    ),
    Mutant(
        "changes-between-passes", "seals/compressing.py",
        "        if self._settled is not None and found[0] != self._settled[number]:\n",
        "        if False:\n",
        "refusing tensors that change while they are compressed twice",
        (f"{_WRITTEN}::test_what_changes_between_two_passes_is_refused",),
    ),
    Mutant(
        "size-of-what-is-compressed", "storages/local.py",
        "            file.shrink(content.size)\n", "",
        "cutting a file to the size that it has in the end",
        (f"{_WRITTEN}::test_a_pack_is_read_as_it_was",),
    ),
    Mutant(
        "compaction-of-compressed-packs", "repo/gc/moving.py",
        "repo.compress or as_before", "repo.compress",
        "compressing what is moved out of a compressed pack",
        ("test_compression.py::test_compaction_keeps_packs_compressed",),
    ),
]  # fmt: skip
