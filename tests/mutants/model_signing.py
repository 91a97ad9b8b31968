"""Signatures of files and folders, as other tools verify them."""

from __future__ import annotations

from .mutant import Mutant

_TESTS = "signing/test_model_signing.py"

MUTANTS = [
    Mutant(
        "files-that-are-not-signed", "signing/model_signing.py",
        '"not signed": new', '"not signed": set()',
        "refusing files that were added to a signed folder",
        (f"{_TESTS}::test_which_file_is_not_what_was_signed_is_said",),
    ),
    Mutant(
        "files-that-are-missing", "signing/model_signing.py",
        '"missing": missing', '"missing": set()',
        "refusing a signed folder that lacks a file",
        (f"{_TESTS}::test_which_file_is_not_what_was_signed_is_said",),
    ),
    Mutant(
        "links-in-signed-folders", "signing/folders.py",
        "elif not entry.is_file(follow_symlinks=False):", "elif not entry.is_file():",
        "refusing symbolic links in a signed folder",
        (f"{_TESTS}::test_links_and_special_files_are_neither_signed_nor_verified",
         f"{_TESTS}::test_a_file_that_became_a_link_is_not_followed"),
        more=(('(getattr(os, "O_NOFOLLOW", 0) if name != "." else 0)', "0"),),
    ),
    Mutant(
        "one-form-of-signatures", "signing/bundles.py",
        "    if not data or _text(data) != text:", "    if not data:",
        "refusing a second text for the same signature",
        (f"{_TESTS}::test_a_bundle_with_any_bit_flipped_is_refused",),
    ),
    Mutant(
        "root-of-signed-files", "signing/model_signing.py",
        '    if found.subject[0].digest.get("sha256") != root:', "    if False:",
        "comparing the hashes of a statement with their own hash",
        (f"{_TESTS}::test_a_statement_that_lies_is_refused_although_it_is_signed",),
    ),
    Mutant(
        "what-may-be-left-unsigned", "signing/folders.py",
        '    if pure.is_absolute() or ".." in pure.parts or not pure.parts:', "    if False:",
        "refusing to leave out the whole folder, or what is outside of it",
        (f"{_TESTS}::test_only_a_path_in_the_folder_can_be_left_out",),
    ),
]  # fmt: skip
