"""Keys, and who can open a store."""

from __future__ import annotations

from .mutant import Mutant

_HOSTILE = "attacks/test_hostile_keys.py"
_HOLDING = "repo/test_holding.py"
_AT_ONCE = f"{_HOLDING}::test_two_at_once_in_every_interleaving"

_FOUNDING = "repo/test_founding.py"

MUTANTS = [
    Mutant(
        "keys-of-the-killed", "storages/_founding.py",
        "        self._take_away(self._before)\n", "        pass\n",
        "taking away what a founding left that was killed",
        (f"{_FOUNDING}::test_two_make_a_store_at_once_while_another_one_opens_it",
         f"{_FOUNDING}::test_one_who_is_killed_anywhere_leaves_nothing_that_the_next_one_keeps"),
    ),
    Mutant(
        "keys-of-the-slower", "storages/_founding.py",
        "            self._take_away(self._own)\n", "            pass\n",
        "taking away one's own keys when somebody else was faster to make the store",
        (f"{_FOUNDING}::test_two_make_a_store_at_once_while_another_one_opens_it",),
    ),
    Mutant(
        "keys-of-this-store", "storages/_founding.py",
        "        if there != seal:\n", "        if True:\n",
        "leaving keys with which the store was made after all",
        (f"{_FOUNDING}::test_an_answer_that_came_late_costs_no_keys",),
    ),
    Mutant(
        "keys-of-no-store", "repo/holding.py",
        "    doomed += found.foreign\n", "",
        "taking away keys of no store when holders change",
        (f"{_FOUNDING}::test_a_bundle_that_is_of_no_store_is_taken_away_by_the_next_change",),
    ),
    Mutant(
        "number-of-recipients", "keys/header.py",
        "        if (_counted(stanzas) == STANZAS and not _is_grease(stanza)) or len(stanzas) > STANZAS:\n",
        "        if False:\n",
        "the bound on the recipients of a wrapped key",
        (f"{_HOSTILE}::test_a_million_recipients_are_no_more_work_than_65",),
    ),
    Mutant(
        "canonical-base-of-headers", "keys/header.py",
        "    return found if to_base64(found) == text else None\n", "    return found\n",
        "refusing base64 that is not canonical",
        (f"{_HOSTILE}::test_a_malformed_header_is_refused_before_anything_else_sees_it",),
    ),
    Mutant(
        "work-factors", "keys/scrypt.py",
        "    if not _NUMBER.fullmatch(text) or int(text) not in FACTORS:\n", "    if False:\n",
        "refusing work factors that are tiny or huge",
        (f"{_HOSTILE}::test_a_tiny_or_huge_work_factor_is_refused_before_any_work",),
    ),
    Mutant(
        "passphrases-alone", "keys/age.py",
        "        if len(header.stanzas) > 1:\n", "        if False:\n",
        "refusing a passphrase beside other recipients", (f"{_HOSTILE}::test_a_passphrase_stands_alone",),
    ),
    Mutant(
        "mac-of-headers", "keys/scrypt.py",
        "    if not hmac.compare_digest(_mac(key, header.signed), header.mac):\n", "    if False:\n",
        "comparing the MAC of a header",
        (f"{_HOSTILE}::test_nothing_is_decrypted_under_a_wrong_mac",),
    ),
    Mutant(
        "commitment-to-keys", "keys/opening.py",
        "if seal is None or is_of(each.keys, seal)}\n", "}\n",
        "comparing keys with what the store commits to",
        (f"{_HOSTILE}::test_keys_that_an_attacker_wraps_for_a_holder_are_not_used",),
    ),
    Mutant(
        "bundle-that-counts", "repo/repository.py",
        "            self.storage.renew(self.state.bundle())\n", "            pass\n",
        "writing with the keys that the log names, and with no others",
        (f"{_HOSTILE}::test_keys_of_a_holder_who_was_removed_are_not_written_with",),
    ),
    Mutant(
        "tries-of-passphrases", "keys/opening.py",
        "list(objects.phrased.items())[:HOLDERS] if", "list(objects.phrased.items()) if",
        "the bound on tries that cost a second each",
        (f"{_HOSTILE}::test_keys_of_passphrases_without_end_are_tried_within_bounds",),
    ),
    Mutant(
        "listing-bundles-again", "keys/opening.py",
        "        if own or objects.listed == {*_names(storage)}:\n", "        if True:\n",
        "listing the bundles again when holders change meanwhile", (_AT_ONCE,),
    ),
    Mutant(
        "modes-of-key-files", "keys/files.py",
        "            self.set_mode(file, 0o600)\n", "            pass\n",
        "keeping others from reading a key file",
        ("keys/test_key_files.py::test_nobody_else_may_read_the_secret_half",),
    ),
    Mutant(
        "tracebacks-of-secrets", "keys/secret.py",
        "            raise error.with_traceback(None) from None\n", "            raise\n",
        "keeping secrets out of tracebacks",
        ("keys/test_key_sources.py::test_a_source_that_fails_says_why_and_shows_nothing",),
    ),
    Mutant(
        "data-keys-of-killed-changes", "repo/holding.py",
        "        every = merged(after[0], [each.keys for each in found.bundles.values()])\n",
        "        every = after[0]\n",
        "keeping the data keys of every bundle that is deleted",
        (f"{_HOLDING}::test_a_killed_change_leaves_what_the_next_one_clears",),
    ),
    Mutant(
        "bundles-of-other-tries", "repo/holding.py",
        "    doomed = sorted({*found.bundles, *(", "    doomed = sorted({*(",
        "deleting the bundles from before a change",
        (f"{_HOLDING}::test_a_killed_change_leaves_what_the_next_one_clears",),
    ),
    Mutant(
        "bundles-given-up", "repo/holding.py",
        "            _take_back(storage, wrote)\n", "            pass\n",
        "deleting what a change wrote that is given up", (_AT_ONCE,),
    ),
    Mutant(
        "places-of-passphrases", "repo/holding.py",
        "        place = repo.fresh()  # another for each try",
        '        place = "e" * 32\n        storage.delete(bundle_key(place))  # another',
        "a new place for the identity of a passphrase at each try", (_AT_ONCE,),
    ),
    Mutant(
        "removed-holders", "repo/holding.py",
        "    if named in found.listed:\n", "    if False:\n",
        "refusing changes by one who was removed",
        (f"{_HOLDING}::test_a_holder_who_was_removed_meanwhile_changes_nothing",),
    ),
    Mutant(
        "missing-bundles", "repo/check.py",
        ", *missing_bundle(repo))", ")",
        "noticing that the keys of a store are missing", (f"{_HOLDING}::test_a_check_names_missing_keys",),
    ),
    Mutant(
        "keys-in-backups", "repo/backup/backup.py",
        "    remove_old_keys(repo, target)\n", "",
        "deleting the keys of removed holders in a copy",
        (f"{_HOLDING}::test_a_backup_has_the_keys_and_no_more_those_of_removed_holders",),
    ),
    Mutant(
        "keys-of-everybody", "keys/age.py",
        "    if _point(found) in _SMALL:\n", "    if False:\n",
        "refusing public keys for which what is sealed is open to everybody",
        ("keys/test_age.py::test_nothing_is_sealed_for_a_key_of_small_order",),
    ),
]  # fmt: skip
