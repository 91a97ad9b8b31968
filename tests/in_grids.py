"""Which tests run once more over versions in the grid form, in a sealed store, and with compressed packs."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from saver.repo import grid, pages
from saver.seals import compressing

OTHERWISE = {
    "test_a_single_file_keeps_the_shards": "a file has the hashes of the other form",
    "test_a_manifest_with_boxes_that_do_not_tile_is_damaged": "the other form of a manifest",
    "test_a_commit_that_fails_leaves_what_others_staged_and_nothing_else": "it names folders",
    "test_what_a_deleted_version_alone_needed_is_freed": "it counts",
    "test_readers_get_a_grace_period_by_the_clock_of_the_store": "it counts",
    "test_a_dry_run_changes_nothing_and_tells_what_would_be": "it counts",
    "test_a_save_that_loses_the_race_against_a_collector_writes_anew_what_that_condemned": "it counts",
    "test_a_collector_that_loses_the_race_against_a_save_decides_anew": "it counts",
    "test_a_clock_that_was_set_back_keeps_nothing_from_being_freed": "it counts",
    "test_a_clock_that_is_years_off_keeps_nothing_from_being_freed": "it counts",
    "test_a_version_whose_manifest_is_lost_keeps_its_packs": "it counts",
    "test_a_collection_after_one_deletion_reads_what_that_freed_and_not_all_manifests": "it counts",
    "test_the_next_backup_copies_what_is_new_and_removes_what_was_freed": "it counts",
    "test_a_copying_tool_must_take_the_log_first": "it names folders",
    "test_what_was_verified_is_not_taken_from_elsewhere_once_it_was_moved": "it looks into a source",
}
"""Tests that say something of the other form, each with what it is."""


IN_BOTH = {
    "test_backup", "test_check", "test_extents", "test_gc", "test_saving_together", "test_shards",
    "test_stage",
}  # fmt: skip
"""The modules whose other tests run in both forms."""

SEALED = {
    "test_check", "test_extents", "test_gc", "test_labels", "test_one_file", "test_shards", "test_stage",
    "test_trees",
}  # fmt: skip
"""The modules whose tests run in a sealed store, and with compressed packs, as well."""

OPENED_PLAINLY = {
    "test_a_backup_has_the_documents_and_says_which_are_damaged",
    "test_a_backup_of_files_is_a_store_and_a_damaged_copy_is_found",
    "test_a_file_stays_though_all_its_bytes_were_healed_elsewhere",
}
"""Tests that open a copy of the store without a key."""

READ_PLAINLY = {
    "test_a_sound_store_is_sound",
    "test_bytes_may_move_again_and_again",
    "test_versions_share_the_document_of_a_part_that_did_not_change",
}
"""Tests that count the bytes of packs."""

LONG = {
    "test_a_backup_that_is_killed_at_any_moment_leaves_a_store_or_none_and_goes_on",
    "test_a_backup_that_is_killed_leaves_readable_what_the_copy_had_though_its_bytes_moved_twice",
    "test_an_error_of_one_rank_reaches_all_and_nothing_is_saved",
    "test_collections_without_listing_free_what_one_with_listing_would",
    "test_two_clusters_save_one_model_at_the_same_time",
    "test_whatever_others_do_at_any_moment_the_copy_is_sound",
}
"""Those of them that take seconds; in the grid form they are run by hand."""


def parametrize_forms(metafunc: pytest.Metafunc) -> None:
    """Run the tests that hold in both forms in both."""
    module = metafunc.module.__name__.rpartition(".")[2]
    name = metafunc.function.__name__
    if module in IN_BOTH and name not in OTHERWISE:
        marks = [pytest.mark.long] if name in LONG else []
        forms: list[object] = ["listed", pytest.param("grid", marks=marks)]
    else:
        forms = ["listed"]
    if module in SEALED and name not in OPENED_PLAINLY:
        missing = not importlib.util.find_spec("cryptography")
        forms.append(pytest.param("sealed", marks=pytest.mark.skipif(missing, reason="needs cryptography")))
    if module in SEALED and name not in READ_PLAINLY:
        missing = sys.version_info < (3, 14) and not importlib.util.find_spec("zstandard")
        forms.append(pytest.param("compressed", marks=pytest.mark.skipif(missing, reason="needs zstandard")))
    if len(forms) > 1:
        metafunc.parametrize("form", forms, indirect=True)


@pytest.fixture(autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `grid`, every version that is not one file has the grid form, with several pages. In `sealed`, the
    fixture `store` is a sealed storage, and in `compressed` all packs are compressed, however small."""
    if getattr(request, "param", "") == "grid":
        monkeypatch.setattr(grid, "BOXES", 0)
        monkeypatch.setattr(grid, "PAGE_BOXES", 2)
        monkeypatch.setattr(pages, "TOGETHER", 3)
    if getattr(request, "param", "") == "compressed":
        monkeypatch.setattr(compressing, "TINY", 0)
        monkeypatch.setattr(compressing, "WORTH", 1000)
