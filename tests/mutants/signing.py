"""Signatures, and who may do what."""

from __future__ import annotations

from .mutant import Mutant

_ATTACKS = "attacks/test_hostile_signatures.py"
_ROLES = "repo/test_roles.py"
_KEYS = "signing/test_keys.py"
_HEADS = "signing/test_heads.py"
_VOUCHING = "repo/test_vouching.py"
_POLICY = "signing/test_trust_file.py"
_PACKAGES = (
    f"{_ATTACKS}::test_packages_that_a_part_says_it_needs_count_as_far_as_what_is_signed_bears_them_out"
)
_CLEAR = "test_sealed_stores.py::test_what_was_sealed_and_is_written_in_clear_is_said"

MUTANTS = [
    Mutant(
        "statement-from-content", "repo/stated.py",
        "        parts[name] = part_hash(content, held, names)\n",
        "        parts[name] = manifest.parts[name].hash\n",
        "making the statement from what was read, not from what a manifest says of it",
        (f"{_ATTACKS}::test_a_document_that_lies_about_the_hashes_of_its_parts_is_not_believed",),
    ),
    Mutant(
        "words-before-statements", "signing/signatures.py",
        'STATEMENT = b"saver statement 1\\n"', 'STATEMENT = b""',
        "words of their own before each kind of signed message",
        (f"{_ATTACKS}::test_messages_of_one_kind_are_not_of_another",),
    ),
    Mutant(
        "twins-of-signatures", "signing/keys.py",
        "not 0 < s <= _ORDER // 2 or", "not 0 < s < _ORDER or",
        "refusing the second form of a signature of P-256",
        (f"{_KEYS}::test_a_signature_of_p256_has_no_twin",),
    ),
    Mutant(
        "small-keys", "signing/keys.py",
        '    if kind == "ed25519" and digits in _SMALL:\n', "    if False:\n",
        "refusing keys with which anybody can sign",
        (f"{_KEYS}::test_keys_with_which_anybody_can_sign_are_refused",),
    ),
    Mutant(
        "missing-library", "signing/keys.py",
        "    _asymmetric()  # without the library nothing is known: that ", "    # that ",
        "telling a missing library from a signature that does not hold",
        ("signing/test_without_cryptography.py",),
    ),
    Mutant(
        "many-signatures", "signing/signatures.py",
        "    if len(signatures) > LIMIT:\n", "    if False:\n",
        "the limit on signatures",
        (f"{_ATTACKS}::test_a_record_with_signatures_that_no_saver_writes_is_refused",),
    ),
    Mutant(
        "displaced-signatures", "repo/state/values.py",
        "signatures=signatures[-LIMIT:]", "signatures=signatures[:LIMIT]",
        "letting older signatures give way, so that nobody is kept from signing",
        (f"{_ATTACKS}::test_many_signatures_displace_older_ones_and_keep_nobody_from_signing",),
    ),
    Mutant(
        "signatures-of-other-names", "encoding.py",
        "opened.signatures if found.model == model else ()", "opened.signatures",
        "leaving signatures behind where a version gets another name",
        (f"{_ATTACKS}::test_a_statement_says_the_same_after_a_push_and_a_collection",),
    ),
    Mutant(
        "void-records", "repo/state/view.py",
        "        reason = refusal(record, known.roles, self.tags)\n", '        reason = ""\n',
        "leaving out records without the right",
        (f"{_ROLES}::test_a_record_without_the_right_changes_nothing_and_is_named",),
    ),
    Mutant(
        "signatures-of-records", "repo/state/rights.py",
        "    return record_failure(record, signed)\n", '    return ""\n',
        "verifying the signature of a record",
        (f"{_ROLES}::test_a_signature_for_another_place_in_the_log_is_void",),
    ),
    Mutant(
        "tags-that-need-a-right", "repo/state/rights.py",
        "        if not any(map(partial(_admits, tag=tag), held)):\n", "        if False:\n",
        "the right to each tag", (f"{_ROLES}::test_each_kind_of_record_needs_its_right",),
    ),
    Mutant(
        "tags-of-what-is-deleted", "repo/state/rights.py",
        " for tag, number in tags_of(event.model).items() if number in event.numbers]\n",
        " for tag in ()]\n",
        "the right to tags that go with a deletion",
        (f"{_ROLES}::test_tags_of_a_commit_and_of_what_is_deleted_need_their_right_too",),
    ),
    Mutant(
        "somebody-who-grants", "repo/state/rights.py",
        'isinstance(event, Roles) and not any("grant" in after[key] and _signs(key) for key in after):\n',
        "False:\n",
        "leaving somebody who may grant",
        (f"{_ROLES}::test_the_first_roles_let_their_signer_grant_and_somebody_always_may",),
    ),
    Mutant(
        "roles-of-checkpoints", "repo/state/state.py",
        "found.previous, found.root, found.roles)", "found.previous, found.root)",
        "the roles in a checkpoint",
        (f"{_ROLES}::test_the_state_is_a_pure_function_of_the_log_however_it_is_read",),
    ),
    Mutant(
        "writers-without-a-key", "repo/repository.py",
        "            self.signer.demand_key(self.state.roles)\n", "",
        "refusing a writer without a right before it writes anything",
        (f"{_ROLES}::test_a_writer_without_a_key_is_refused_before_it_writes_a_byte",),
    ),
    Mutant(
        "shorter-logs", "repo/signer.py",
        "            self._demand_seen(not seen.number, f", "            self._demand_seen(True, f",
        "noticing a log that is shorter than it was",
        (f"{_HEADS}::test_a_rollback_is_noticed_by_whom_saw_a_later_head",),
    ),
    Mutant(
        "known-places", "repo/signer.py",
        "known = bool(state.roles) or self._is_known(store)\n", "known = bool(state.roles)\n",
        "looking into the memory of heads though nothing demands signatures",
        (f"{_HEADS}::test_every_method_that_reads_notices_a_rollback",),
    ),
    Mutant(
        "real-places", "repo/signer.py",
        "else os.path.realpath(self.where)", "else self.where",
        "knowing a store by one name from every folder",
        (f"{_HEADS}::test_a_place_is_the_same_from_every_folder",),
    ),
    Mutant(
        "lost-memories", "signing/heads.py",
        "        except (msgspec.DecodeError, ValueError):\n            raise",
        "        except (msgspec.DecodeError, ValueError):\n            return None\n            raise",
        "telling a memory that cannot be read from an empty one",
        (f"{_HEADS}::test_a_memory_that_cannot_be_read_is_not_taken_for_an_empty_one",),
    ),
    Mutant(
        "newest-heads", "signing/heads.py",
        "if known is not None and known.number >= head.number:", "if False:",
        "remembering the newest head, not the one that was seen last",
        (f"{_HEADS}::test_the_newest_head_stays",),
        more=(("if known is None or known.number < head.number:", "if True:"),),
    ),
    Mutant(
        "heads-at-the-same-moment", "signing/heads.py",
        "            with alone(os.path.join(self._folder, LOCK), PATIENCE):\n", "            if True:\n",
        "noting one head after the other",
        (f"{_HEADS}::test_of_two_that_note_heads_at_the_same_moment_the_newer_stays",),
    ),
    Mutant(
        "grants-to-nobody", "repo/state/rights.py",
        "    return is_key(key) and not flaw(key)\n", "    return is_key(key)\n",
        "leaving somebody who can sign among those who may grant",
        (f"{_ROLES}::test_the_first_roles_let_their_signer_grant_and_somebody_always_may",),
    ),
    Mutant(
        "packages-borne-out", "needed.py",
        "return tuple(name for name in said if name in known)", "return tuple(said)",
        "leaving out packages that nothing signed bears out", (_PACKAGES,),
    ),
    Mutant(
        "packages-of-the-tree", "needed.py",
        "return package in said or package in _roots(items)", "return package in said",
        "finding the packages that a part keeps to itself", (_PACKAGES,),
    ),
    Mutant(
        "files-in-clear", "clear.py",
        '    if opened.secret:\n        seal =', '    if False:\n        seal =',
        "saying that a file is in clear", (_CLEAR,),
    ),
    Mutant(
        "imports-in-clear", "clear.py",
        "    if opened.secret and not seals(target):", "    if False:",
        "saying that what is imported is in clear", (_CLEAR,),
    ),
    Mutant(
        "points-of-curves", "signing/keys.py",
        'return "" if is_point(kind, bytes.fromhex(digits)) else', 'return "" if True else',
        "refusing keys that are not points of their curve",
        (f"{_KEYS}::test_what_is_not_a_point_of_its_curve_is_not_a_key",),
    ),
    Mutant(
        "other-records", "repo/signer.py",
        "self._demand_seen(there == seen.hash,", "self._demand_seen(True,",
        "noticing that another record has the number of one that was seen",
        (f"{_HEADS}::test_replaced_records_are_noticed_by_whom_saw_a_later_head",),
    ),
    Mutant(
        "the-log-alone", "demanding.py",
        "        repo.state.alone = True\n", "",
        "reading the log alone where a trust file is followed",
        (f"{_ATTACKS}::test_a_shortcut_is_not_believed_where_a_policy_is",),
    ),
    Mutant(
        "unknown-fields-of-rules", "signing/policy.py",
        '    _demand_known(left, "[[require]]")\n', "",
        "refusing a rule with a field that is not known",
        (f"{_POLICY}::test_a_trust_file_that_is_not_understood_is_refused",),
    ),
    Mutant(
        "one-key-twice", "signing/policy.py",
        "    if len({*found.values()}) != len(found):\n", "    if False:\n",
        "refusing one key under two names, which would count twice",
        (f"{_POLICY}::test_a_trust_file_that_is_not_understood_is_refused",),
    ),
    Mutant(
        "resumed-runs", "checkpoints/trials.py",
        "        demand_opened(self._repo, found)\n", "",
        "demanding signatures of what a run resumes from",
        (f"{_POLICY}::test_a_run_does_not_resume_from_what_nobody_signed",),
    ),
    Mutant(
        "tags-under-a-policy", "repo/changing.py",
        "        demand(version)\n", "",
        "demanding signatures for a tag",
        (f"{_POLICY}::test_a_tag_is_set_once_its_version_has_the_signatures",),
    ),
    Mutant(
        "listed-signatures", "repo/vouching.py",
        "        found = failures(signatures, statement())\n",
        '        found = dict.fromkeys((each.key for each in signatures), "")\n',
        "verifying the signatures of versions that a log lists",
        (f"{_VOUCHING}::test_the_log_says_which_signatures_of_versions_hold",),
    ),
    Mutant(
        "listed-authors", "repo/vouching.py",
        "    return replace(version, unverified=lack) if lack else version\n", "    return version\n",
        "saying of whom nobody vouches that they made a version, where a trust file is followed",
        (f"{_VOUCHING}::test_every_listing_says_what_a_policy_does_not_accept",),
    ),
    Mutant(
        "files-under-a-policy", "signed.py",
        "policy_of(None) if demands else None", "None",
        "demanding signatures of files, where a trust file is followed",
        (f"{_POLICY}::test_files_follow_the_trust_file_as_stores_do",),
    ),
    Mutant(
        "signatures-that-hold", "repo/signing.py",
        "if not there[each.key] and here", "if here",
        "adding only those signatures from another store that hold",
        (f"{_ATTACKS}::test_signatures_from_another_store_are_added_only_if_they_hold_and_are_new",),
    ),
    Mutant(
        "signatures-that-hold-here", "repo/signing.py",
        ' and here.get(each.key) != ""]', "]",
        "leaving a signature that holds as it is, whatever another store has of the same key",
        (f"{_ATTACKS}::test_signatures_from_another_store_are_added_only_if_they_hold_and_are_new",),
    ),
    Mutant(
        "room-for-signatures", "repo/signing.py",
        "if each.key not in here][: LIMIT - len(here)]", "if each.key not in here]",
        "adding no more signatures from another store than there is room for",
        (f"{_ATTACKS}::test_a_store_that_versions_come_from_cannot_spoil_signatures",),
    ),
    Mutant(
        "tags-as-it-was-found", "demanding.py",
        "        version = replace(version, tags=(*version.tags, *opened.tags))\n", "",
        "the rules about the tags that a version had as it was found",
        (f"{_ATTACKS}::test_a_tag_that_is_moved_away_while_it_is_read_needs_its_signatures_all_the_same",),
    ),
    Mutant(
        "tags-that-answer", "serve/serving.py",
        "        if tag is not None:\n", "        if False:\n",
        "the rules about the tag that a server follows",
        ("serve/test_earlier.py::"
         "test_what_a_tag_named_needs_the_signatures_of_that_tag_wherever_it_is_by_now",),
    ),
    Mutant(
        "keys-that-stand-otherwise", "tree/parsing.py",
        "        if kind is _PLAIN and in_order(keys) != [*keys]:\n", "        if False:\n",
        "sorting the keys of an object, whose order in the text no signature covers",
        (f"{_ATTACKS}::test_keys_that_stand_in_another_order_change_nothing_of_what_is_signed",),
    ),
]  # fmt: skip
