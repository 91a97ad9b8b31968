"""Makes a store, and says who can open it: adds and removes holders, and begins new data keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saver import arguments
from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.line import Showing, shown
from saver.sealing import beneath, keys_of
from saver.store import Store

if TYPE_CHECKING:  # imported when they are called: `import saver` stays fast
    from saver.keys.sources import Keys
    from saver.repo.holding import Held
    from saver.storage import Storage


class Holders(Store):
    """A store, and who can open it: see docs/security.md. Methods about holders raise IncompatibleError for
    a store that is not sealed, and KeyNeededError or WrongKeyError if it was opened without a key."""

    def create(self, *, shared: str | None = None) -> bool:
        """Make an empty store; False if there is one, which stays as it is. Saves do this, too. `shared`
        names a group, which may then do everything in the folder, and others nothing: docs/sharing.md."""
        from saver.creating import create

        return create(self._repo, shared)

    def holders(self) -> Held:
        """Who can open the store."""
        from saver.repo import holding

        return holding.held(self._repo, *self._own_keys())

    def add_holder(self, recipient: str, name: str | None = None) -> Held:
        """Let somebody open the store: `recipient` is their public key, `age1…`, or a file `NAME.pub`. Writes
        two small objects. Raises ValueError for a name that is taken."""
        from saver.keys.files import recipient_in
        from saver.repo import holding

        arguments.filled("recipient", recipient, "pass age1…, or the path of a file NAME.pub")
        try:
            public, own = recipient_in(recipient)
        except ValueError as error:
            if isinstance(error, SaverError):
                raise
            raise ValueError(f"recipient: {error}") from None
        called = name or own
        if not called:
            raise ValueError("name: an age1… has no name; pass whose it is")
        return holding.add(self._repo, *self._own_keys(), public, called)

    def remove_holder(self, holder: str) -> Held:
        """Let a holder, who is named, or whose public key is passed, open the store no longer. This cannot
        undo what was: they had the data key, and may have copies; `rotate` begins another one. Raises
        NotFoundError, and ValueError for the last holder."""
        from saver.repo import holding

        arguments.filled("holder", holder, "pass a name, or a public key")
        return holding.remove(self._repo, *self._own_keys(), holder)

    @shown("sealing")
    def rotate(self, *, everything: bool = False, progress: Showing = None) -> Held:
        """Begin a new data key: what is saved from now on is sealed with it. With `everything`, what is there
        is sealed with it as well; others may save, load and collect meanwhile, and after an interruption
        another call goes on. Raises DamagedError if objects could not be read, once all others are done.
        """
        from saver.repo import holding
        from saver.repo.resealing import reseal

        arguments.flag("everything", everything)
        progress = arguments.callback("progress", progress)
        held = holding.rotate(self._repo, *self._own_keys())
        left = reseal(self._repo, progress).damaged if everything else ()
        if left:
            raise DamagedError(
                f"{self.storage}: {len(left):,} damaged objects keep their older key, such as {left[0]}; all "
                "others have the new one; run `saver check`, and restore them from a copy"
            )
        return held

    def _own_keys(self) -> tuple[Storage, Keys]:
        """The place of the store, and the keys that it was opened with."""
        keys = keys_of(self._key)
        if self._repo.format().seal is None or keys is None:
            raise IncompatibleError(
                f"{self.storage}: this store is not sealed, so it has no holders; push its versions to "
                "a store that is made with a key"
            )
        return beneath(self.storage), keys
