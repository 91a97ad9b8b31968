"""What the pages of one server share, and the token that keeps pages of strangers from acting here."""

from __future__ import annotations

import copy
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from saver import Saver
from saver.errors import SaverError
from saver.logger import logger
from saver.pages.apart import Apart
from saver.pages.catalog import Catalog
from saver.pages.described import Described
from saver.pages.relations import Relations
from saver.pages.rendering import templates
from saver.pages.streaming import Streams
from saver.pages.trail import Trail
from saver.pages.works import Works
from saver.repo import changing
from saver.serve.door import House
from saver.serve.refusals import Refusal


class Site:
    """The store that the pages show, and the house they are in. `predicting` are the names that the same
    server predicts under, each with its model; `secure` says whether browsers reach it over TLS, and
    `fixed` that its pages change nothing in the store."""

    def __init__(
        self, store: Saver, house: House, *, predicting: Mapping[str, str] | None = None,
        secure: bool = False, fixed: bool = False,
    ) -> None:  # fmt: skip
        self._fixed = fixed
        self.store, self.house, self.predicting, self.secure = store, house, predicting or {}, secure
        self.catalog, self.described, self.works = Catalog(store), Described(), Works(store)
        self.relations, self.trail, self.apart = Relations(store), Trail(store), Apart()
        self.streams = Streams()
        house.farewells.append(self.streams.end)
        self._secret = secrets.token_bytes(32)

    def warm(self) -> None:
        """Read what the first pages need, before somebody waits for it."""
        try:
            templates()
            self.catalog.models()
            self.relations.ready(0)
        except (SaverError, OSError) as error:  # the page says it
            logger.info("%s: %s", self.store.storage, error)

    def store_of(self, author: str) -> Saver:
        """The same store, in whose log an author stands for what is done; "": who runs the server. Where
        tokens are needed, the key of the server signs nothing: it stands for the server, not for a token."""
        if not author and self.house.gate.is_open:
            return self.store
        found = copy.copy(self.store)
        found._repo = changing.by(self.store._repo, author) if author else copy.copy(self.store._repo)
        if not self.house.gate.is_open:
            found._repo.signer = copy.copy(found._repo.signer)
            found._repo.signer.key = None
        return found

    def why_fixed(self) -> str:
        """Why these pages change nothing in the store, as far as its log was read; "" if they do."""
        if self._fixed:
            return "this server shares its store for reading alone, so its pages change nothing"
        if not self.house.gate.is_open and self.store._repo.state.roles:
            return (
                "the store has roles, which belong to keys, and a token is not a key, so these pages change "
                "nothing; change it with your own key: saver tag, label, note, rm --store …, with "
                "$SAVER_SIGN_KEY"
            )
        return ""

    def demand_changes(self) -> None:
        """Raises Refusal if these pages change nothing in the store, of which the newest record counts."""
        self.store.roles()
        if why := self.why_fixed():
            raise Refusal("forbidden", why)

    def page_token(self, visitor: str) -> str:
        """What forms send back. Pages of other origins cannot read it, and it is of one visitor, by the id of
        the token, and of this run of the server."""
        return hmac.new(self._secret, visitor.encode(), hashlib.sha256).hexdigest()

    def is_page_token(self, visitor: str, text: str) -> bool:
        """Whether a form was made by this server for this visitor."""
        return hmac.compare_digest(self.page_token(visitor).encode(), text.encode("utf-8", "replace"))
