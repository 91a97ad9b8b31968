"""Hubs and model cards: what strangers say, and what is visible when."""

from __future__ import annotations

from .mutant import Mutant

_HOSTILE = "attacks/test_registries.py"
_OCI = "hubs/test_oci.py"
_HF = "hubs/test_hf.py"
_SEALED = "hubs/test_sealed_hubs.py"
_CARD = "test_card.py"

MUTANTS = [
    Mutant(
        "digests-of-layers", "hubs/_registry.py",
        '        if left or f"sha256:{hashed.hexdigest()}" != digest:\n',
        "        if left:\n",
        "comparing the bytes of a layer with its digest",
        (f"{_HOSTILE}::test_bytes_that_do_not_have_their_digest_are_refused",),
    ),
    Mutant(
        "length-of-layers", "hubs/_registry.py",
        "            if left < 0:\n",
        "            if False:\n",
        "stopping where a layer should end",
        (f"{_HOSTILE}::test_bytes_that_do_not_have_their_digest_are_refused",),
    ),
    Mutant(
        "digest-of-manifests", "hubs/_registry.py",
        '        if wanted.startswith("sha256:") and digest_of(body) != wanted:\n',
        "        if False:\n",
        "comparing a manifest with its digest",
        (f"{_HOSTILE}::test_a_manifest_with_another_digest_than_was_requested_or_said_is_refused",),
    ),
    Mutant(
        "bounded-answers", "hubs/_registry.py",
        "        if size > LARGEST:\n",
        "        if size > 100 * LARGEST:\n",
        "the limit on answers of a registry",
        (f"{_HOSTILE}::test_a_huge_manifest_is_refused",),
    ),
    Mutant(
        "encrypted-registries", "hubs/_registry.py",
        '        session.mount("http://", _Bounded(plain))\n',
        '        session.mount("http://", _Bounded())\n',
        "refusing to be led from an encrypted registry to another one",
        (f"{_HOSTILE}::test_an_encrypted_registry_does_not_lead_to_one_that_is_not",),
    ),
    Mutant(
        "titles-of-layers", "hubs/_artifact.py",
        "        if not known or key.startswith(LEFT_BEHIND) or key in layers:\n",
        "        if key in layers:\n",
        "refusing layers that are not objects of a store",
        (f"{_HOSTILE}::test_a_title_that_is_not_the_key_of_an_object_is_refused",),
    ),
    Mutant(
        "pushed-meanwhile", "hubs/oci.py",
        "        if (now and digest_of(now)) != (found and found.digest):\n",
        "        if False:\n",
        "looking before the manifest is sent whether somebody else pushed",
        (f"{_OCI}::test_somebody_else_who_pushes_meanwhile_is_not_overtaken",),
    ),
    Mutant(
        "tags-that-begin-alike", "hubs/oci.py",
        "            if [model for model, _ in target.models()] != [name] or last > wanted.number:\n"
        "                return False\n",
        "",
        "looking what else a tag has before another one begins with it",
        (f"{_OCI}::test_a_registry_that_lies_about_its_tags_gets_a_push_all_the_same",),
    ),
    Mutant(
        "another-model-at-a-hub", "hubs/hf.py",
        "        if found.model != said.model or found.number == said.number:\n",
        "        if False:\n",
        "refusing to replace another model, or another version of that number",
        (f"{_HF}::test_another_model_or_other_content_is_refused_and_nothing_is_changed",),
    ),
    Mutant(
        "commits-of-others", "hubs/hf.py",
        "                parent_commit=there.commit,\n",
        "",
        "refusing to commit on top of what somebody else pushed meanwhile",
        (f"{_HF}::test_somebody_else_who_pushes_meanwhile_is_not_overtaken",),
    ),
    Mutant(
        "files-of-others", "hubs/hf.py",
        "        gone = sorted(each for each in old if is_weights.fullmatch(each))\n",
        "        gone = sorted(old)\n",
        "removing only files that a push wrote",
        (f"{_HF}::test_files_that_a_document_names_are_removed_only_if_a_push_wrote_them",),
    ),
    Mutant(
        "file-and-provenance", "hubs/_provenance.py",
        "    if opened.hash != found.hash:\n",
        "    if False:\n",
        "comparing a file with what was said of it",
        (f"{_HF}::test_what_is_said_of_a_file_is_not_trusted",),
    ),
    Mutant(
        "sealed-over-clear", "hubs/hf.py",
        "        if self._is_sealed(commit, folder) != sealed:\n",
        "        if False:\n",
        "refusing to put a sealed version over one in clear",
        (f"{_SEALED}::test_clear_and_sealed_do_not_mix",),
    ),
    Mutant(
        "clear-for-a-key", "hub.py",
        "        if storage.seals:  # it was opened with a key\n",
        "        if not is_sealed(storage):\n",
        "refusing what is in clear at a hub where a key was passed",
        (f"{_SEALED}::test_clear_and_sealed_do_not_mix",),
    ),
    Mutant(
        "holders-of-a-tag", "hubs/_sealed.py",
        "    if missing or (phrase", "    if (phrase",
        "refusing to seal for somebody who could not open it",
        (f"{_SEALED}::test_a_registry_is_not_sealed_for_others_afterwards",),
    ),
    Mutant(
        "sealed-annotations", "hubs/oci.py",
        'name if target.storage is snapshot else ""', "name",
        "leaving the name of a sealed model out of a manifest",
        (f"{_SEALED}::test_what_is_sealed_is_in_clear_nowhere_and_opens_for_those",),
    ),
    Mutant(
        "sealed-files-left", "hubs/_sealed_files.py",
        " or open_text(mark) != _listed(folder):", ":",
        "comparing what a push that broke off left with what it sealed",
        (f"{_SEALED}::test_a_sealed_push_to_the_hub_of_anything_else_than_what_broke_off_begins_anew",),
    ),
    Mutant(
        "sealed-files-for-others", "hubs/hf.py",
        "{sealer.mark(f'{self} {ident}')}", "",
        "asking for whom a push that broke off was sealed",
        (f"{_SEALED}::test_a_sealed_push_to_the_hub_of_anything_else_than_what_broke_off_begins_anew",),
    ),
    Mutant(
        "escaped-cards", "card/markdown.py",
        'limited(found).split()).translate(_ESCAPES)\n',
        'limited(found).split())\n',
        "escaping what a card quotes",
        (f"{_CARD}::test_a_card_has_the_same_structure_whatever_is_in_the_store",),
    ),
    Mutant(
        "fences-of-cards", "card/markdown.py",
        '    fence = "`" * max(3, longest + 1)\n',
        '    fence = "```"\n',
        "fences that are longer than any within",
        (f"{_CARD}::test_a_block_of_code_ends_where_it_should",),
    ),
    Mutant(
        "metadata-of-cards", "card/front.py",
        "    if char in '\"\\\\':\n",
        "    if char in '\\\\':\n",
        "escaping quotes in the metadata of a card",
        (f"{_CARD}::test_a_value_of_the_front_matter_is_one_string",),
    ),
]  # fmt: skip
