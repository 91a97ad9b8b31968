"""Packs: what is written, and what of it is believed."""

from __future__ import annotations

from .mutant import Mutant

_LIES = "attacks/test_hostile_headers.py::test_a_header_that_lies_is_refused"
_OTHER = "attacks/test_hostile_headers.py::test_bytes_that_are_not_those_of_the_header_are_damage"
_FLIPPED = "pack/test_pack.py::test_every_flipped_data_byte_is_found_and_its_tensor_named"
_SHAPES = "pack/test_pack.py::test_a_shape_that_no_array_has_is_refused"
_NAMED = "pack/test_verify.py::test_exactly_what_is_damaged_is_named"
_COPIES = "caching/test_caching.py::test_whatever_is_done_to_a_file_the_load_is_right_and_the_store_sound"
_TILE = "test_tensors.py::test_boxes_are_accepted_exactly_if_they_tile"

MUTANTS = [
    Mutant(
        "header-last", "pack/write.py",
        "            sink.write(self._held, self.start)\n",
        "            sink.write(self._header, 0)\n            sink.write(self._held, self.start)\n",
        "the order: the header of a pack is written when its data is",
        ("disk/test_durable.py::test_data_is_synced_before_the_name_and_the_name_before_the_return",),
    ),
    Mutant(
        "header-length", "pack/write.py",
        "        if len(self._header) != self.start:", "        if False:",
        "refusing a header that would reach into the data",
        ("pack/test_pack.py::test_a_header_that_comes_out_longer_than_planned_is_not_written_over_the_data",),
    ),
    Mutant(
        "hash-of-tensors", "pack/verify.py",
        "        if blake3(mapped[item.start : item.end]).hexdigest() != item.hash:\n",
        "        if False:\n",
        "the hash of tensors", (_FLIPPED, "repo/test_check.py"),
    ),
    Mutant(
        "unreadable-pieces", "pack/verify.py",
        "            job.broken = True\n", "            pass\n",
        "telling of bytes that the disk cannot read",
        ("pack/test_verify.py::test_what_the_disk_cannot_read_is_damaged_and_its_neighbours_are_not",
         "pack/test_verify.py::test_a_file_that_is_cut_or_broken_is_damaged_where_it_is"),
    ),
    Mutant(
        "ranges-within-objects", "pack/verify.py",
        "if 0 <= item.start <= item.end <= end:", "if True:",
        "refusing tensors that lie beyond their pack",
        ("pack/test_verify.py::test_a_range_outside_of_its_object_is_damaged",),
    ),
    Mutant(
        "blocks-bound-to-tensors", "pack/ranges.py",
        "            if not shard.root_matches():\n", "            if False:\n",
        "holding the hashes of blocks against that of their tensor, in files",
        ("attacks/test_hostile_headers.py::test_blocks_of_a_large_tensor_are_bound_to_its_hash",),
    ),
    Mutant(
        "blocks-bound-in-stores", "tensors/shards.py",
        "root_of(map(bytes.fromhex, self.blocks)) == self.hash", "True",
        "holding the hashes of blocks against that of their tensor, in stores",
        ("repo/test_extents.py",),
    ),
    Mutant(
        "boxes-within", "tensors/boxes.py",
        "    if not all(box.fits(shape) for box in boxes):\n", "    if False:\n",
        "refusing boxes that reach beyond their tensor", (_TILE,),
    ),
    Mutant(
        "boxes-tile", "tensors/boxes.py",
        "    if any(corners.counts.values()):\n", "    if False:\n",
        "refusing boxes that leave a gap or overlap", (_TILE,),
    ),
    Mutant(
        "order-of-boxes", "tensors/boxes.py",
        "    if any(one.offsets >= other.offsets for one, other in pairwise(boxes)):\n", "    if False:\n",
        "one order for the boxes of a tensor",
        ("test_tensors.py::test_a_cut_is_accepted_and_with_one_number_changed_only_if_it_tiles",),
    ),
    Mutant(
        "axes-of-cuts", "tensors/boxes.py",
        "    if len(axes) > CUT_AXES:\n", "    if False:\n",
        "the limit on the axes along which a tensor is cut",
        ("test_tensors.py::test_a_tensor_is_cut_along_few_axes",),
    ),
    Mutant(
        "boxes-of-files", "tensors/cuts.py",
        "        check_boxes(cut.shape, [part.box for part in parts])\n", "        pass\n",
        "checking the boxes of a file",
        ("repo/test_shards.py::test_a_file_with_boxes_that_do_not_tile_is_damaged",),
    ),
    Mutant(
        "boxes-of-stores", "repo/forms.py",
        "        if len(shards) > 1 or self.shards[0].box is not None:\n", "        if False:\n",
        "checking the boxes of a manifest",
        ("repo/test_shards.py::test_a_manifest_with_boxes_that_do_not_tile_is_damaged",),
    ),
    Mutant(
        "shards-of-one-tensor", "pack/layout.py",
        "    if len(set(owned)) != len(owned):\n", "    if False:\n",
        "refusing a shard that is that of two tensors",
        ("repo/test_shards.py::test_a_file_with_boxes_that_do_not_tile_is_damaged",),
    ),
    Mutant(
        "boxes-in-the-hash", "tensors/shards.py",
        "        return self.name, self.dtype, self.shape, boxes\n",
        "        return self.name, self.dtype, self.shape, [box[2] for box in boxes]\n",
        "the boxes in the hash of a part", ("golden/test_format.py", "repo/test_shards.py"),
    ),
    Mutant(
        "blocks-of-boxes", "pack/ranges.py",
        "                if blocks is None or number in blocks[at]:\n", "                if True:\n",
        "reading no more blocks than a box cuts",
        ("test_tensors.py::test_a_box_is_read_from_the_shards_and_blocks_that_it_cuts_and_no_others",),
    ),
    Mutant(
        "hash-of-headers", "pack/layout.py",
        "    if digest_of(header).encode() != header[at : at + 64]:", "    if False:",
        "the hash of headers", ("attacks/test_hostile_files.py::test_every_flipped_bit_is_noticed",),
    ),
    Mutant(
        "tensors-tile-the-file", "pack/slots.py",
        "        if begin != end or stop - begin != length:", "        if stop - begin != length:",
        "refusing tensors that overlap or leave gaps", (_LIES,),
    ),
    Mutant(
        "length-of-tensors", "pack/slots.py",
        "        if begin != end or stop - begin != length:", "        if begin != end:",
        "holding the place of a tensor against its shape", (_LIES,),
    ),
    Mutant(
        "end-of-file", "pack/slots.py",
        "    if end != size:\n", "    if False:\n",
        "holding the size of the file against its tensors", (_OTHER,),
    ),
    Mutant(
        "count-of-blocks", "pack/layout.py",
        "        if len(own_blocks) != block_count(length):", "        if False:",
        "counting the hashes of blocks",
        ("attacks/test_hostile_headers.py::test_blocks_of_a_large_tensor_are_bound_to_its_hash",),
    ),
    Mutant(
        "axes-of-files", "pack/slots.py",
        "        if len(slot.shape) > AXES_LIMIT or any(axis < 0 for axis in slot.shape):",
        "        if any(axis < 0 for axis in slot.shape):",
        "the limit on the axes of a tensor, in files", (_SHAPES,),
    ),
    Mutant(
        "negative-axes", "pack/slots.py",
        "        if len(slot.shape) > AXES_LIMIT or any(axis < 0 for axis in slot.shape):",
        "        if len(slot.shape) > AXES_LIMIT:",
        "refusing negative axes", (_SHAPES,),
    ),
    Mutant(
        "long-headers-written", "pack/layout.py",
        "    if length > HEADER_LIMIT:\n", "    if False:\n",
        "the limit on headers that are written",
        ("pack/test_pack.py::test_a_header_beyond_the_limit_of_readers_is_refused",),
    ),
    Mutant(
        "long-headers-read", "pack/read.py",
        "    if length > HEADER_LIMIT:\n", "    if False:\n",
        "the limit on headers that are read",
        ("attacks/test_hostile_headers.py::test_a_header_beyond_the_limit_is_not_even_read",),
    ),
    Mutant(
        "order-of-damage", "pack/verify.py",
        "        inside.sort(key=_START)\n", "",
        "reading a pack in the order of its bytes", (_NAMED,
        "pack/test_verify.py::test_only_what_is_requested_is_fetched_and_in_order"),
    ),
    Mutant(
        "wrong-copies", "pack/verify.py",
        "        if wrong and self._brought_anew(wrong):", "        if False:",
        "asking the store when what was kept of it on this machine is wrong", (_COPIES,),
    ),
    Mutant(
        "wrong-copies-replaced", "caching/blob.py",
        "        self._cache.write(self._name, start, memory)\n", "",
        "replacing what was kept on this machine and was wrong", (_COPIES,),
    ),
    Mutant(
        "copies-of-two-stores", "caching/blob.py",
        'f"{store}/{pack}".encode', 'f"{pack}".encode',
        "keeping packs of different stores apart on this machine",
        ("caching/test_caching.py::test_packs_of_two_stores_with_one_name_are_two",),
    ),
    Mutant(
        "copies-write-to-no-other-file", "caching/private.py",
        "and found.st_nlink <= 1 and", "and",
        "leaving files alone that links in a folder of copies lead to",
        ("caching/test_caching.py::test_no_other_file_is_written_to",),
    ),
    Mutant(
        "bound-of-copies", "caching/folder.py",
        "                    self._sweep(folder)\n", "                    pass\n",
        "the bound on what is kept of buckets on this machine",
        ("caching/test_caching.py::test_it_stays_within_its_bound_and_what_was_used_last_stays",),
    ),
    Mutant(
        "copies-are-private", "caching/private.py",
        '        if hasattr(os, "getuid") and stat', "        if False and stat",
        "leaving a folder of copies alone that others may enter",
        ("caching/test_caching.py::test_a_folder_that_others_may_enter_is_not_used",),
    ),
]  # fmt: skip
