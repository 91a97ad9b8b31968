"""What pages owe to those who look at them, and to those whom they show."""

from __future__ import annotations

from .mutant import Mutant

_ACTING = "pages/test_acting.py"
_HOSTILE = "pages/test_hostile_pages.py"

MUTANTS = [
    Mutant(
        "tokens-of-pages",
        "pages/door.py",
        "        if not by_header and not self._site.is_page_token(_visitor(ask), "
        'form.pop("page_token", "")):\n',
        "        if False:\n",
        "the token of a page in each of its forms",
        (f"{_ACTING}::test_an_action_without_the_token_of_a_page_is_refused",),
    ),
    Mutant(
        "hosts-of-visitors",
        "pages/door.py",
        "        house.check_host(ask.headers)\n",
        "",
        "refusing a request under the name of another host",
        (f"{_ACTING}::test_a_forged_host_sees_nothing",),
    ),
    Mutant(
        "keys-of-the-server",
        "pages/site.py",
        "            found._repo.signer.key = None\n",
        "            pass\n",
        "signing nothing with the server's key for a token",
        ("pages/test_fixed_pages.py::test_tokens_do_not_use_the_key_of_the_server",),
    ),
    Mutant(
        "pages-that-change-nothing",
        "pages/door.py",
        "        if self._address.action and not self._address.keeps:\n",
        "        if False:\n",
        "refusing to change a store that is shared for reading",
        ("pages/test_fixed_pages.py::test_a_store_that_is_shared_for_reading_is_not_changed",),
    ),
    Mutant(
        "places-of-stores",
        "pages/door.py",
        '        known = gate.is_open or (token is not None and token.may("read", None))\n',
        "        known = True\n",
        "saying only to those who may read everything where the store is",
        ("pages/test_places.py::test_a_place_is_for_those_who_may_read_everything",),
    ),
    Mutant(
        "rights-of-actions",
        "pages/door.py",
        "                _shown_token(ask), self._address.right, model, client, some=self._address.some\n",
        '                _shown_token(ask), "read", model, client, some=self._address.some\n',
        "asking for the right to an action",
        (f"{_ACTING}::test_each_right_allows_its_actions_and_no_others",),
    ),
    Mutant(
        "characters-that-turn-text",
        "pages/rendering.py",
        '    return limited(str(value)) if value is not None else ""\n',
        '    return str(value) if value is not None else ""\n',
        "showing characters that hide, or turn the text around them",
        (f"{_HOSTILE}::test_no_text_becomes_markup_or_turns_text_around",),
    ),
    Mutant(
        "addresses-to-go-back-to",
        "pages/page.py",
        '    inside = text.startswith("/") and not text.startswith("//") and "\\\\" not in text\n',
        '    inside = text.startswith("/")\n',
        "sending who has signed in only to a page of this server",
        (f"{_HOSTILE}::test_addresses_to_go_back_to_are_on_this_server",),
    ),
    Mutant(
        "versions-that-are-compared",
        "pages/page.py",
        "        if not self.may(right, model):\n",
        "        if False:\n",
        "asking for the right to each version that is compared, and to each run whose curves are drawn",
        ("pages/test_comparing_rights.py::test_a_model_that_one_may_not_read_is_not_shown",),
    ),
]
