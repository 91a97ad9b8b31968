"""What a store has to do with signatures: the methods of `saver.Saver` about them."""

from __future__ import annotations

from collections.abc import Iterable

from saver import arguments, demanding, signed
from saver.line import Showing, shown
from saver.repo import audit
from saver.repo.entry import Entries
from saver.repo.naming import kinds_of, ref_of, several_of
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.signing.keys import KeySource
from saver.signing.policy import NOT_VERIFIED, SignedBy
from saver.signing.verdicts import Verified


class Verifying:
    """Says who did what, and whose signatures hold. `Store` has these methods."""

    _repo: Repository

    @shown("verifying")
    def verify(self, ref: str | Version, *, signed_by: SignedBy = None, progress: Showing = None) -> Verified:
        """Read all tensors of a version, and say who signed it, and whether each signature holds.

        Raises DamagedError, which names the tensors whose bytes are not what was saved. With `signed_by`,
        public keys (a file, `env:NAME`, PEM as bytes), raises SignatureError unless one of them signed it.
        """
        progress = arguments.callback("progress", progress)
        opened = demanding.open_signed(
            self._repo, ref, signed_by=signed_by, demands=signed_by is not None, done=NOT_VERIFIED
        )
        return signed.verify(opened, f"{opened.manifest.model}@{opened.manifest.number}", progress)

    def log(self, ref: str | Version | None = None, *, kinds: Iterable[str] = ()) -> Entries:
        """Who did what, and when: every save, tag, label, note, deletion and collection, the newest first. Of
        a model (`iris`), of a version (`iris@3`, which may be deleted by now) or of a range; and of some
        `kinds`, such as `save` or `delete`: see docs/reference.md. Reads the log as you iterate, so the first
        entries of a long one come at once.
        """
        if ref is not None:
            several_of("ref", ref)
        chosen = kinds_of(arguments.texts("kinds", kinds))
        self._repo.open()
        about = audit.wanted(self._repo, ref) if ref is not None else None
        return Entries(lambda: audit.entries(self._repo, about, chosen))

    def roles(self) -> dict[str, tuple[str, ...]]:
        """Who may do what: the rights of each public key; empty if everybody may do everything."""
        self._repo.open()
        return dict(self._repo.state.roles)


class Signing(Verifying):
    """Signs, and grants rights. `Saver` has these methods."""

    def sign(self, ref: str | Version, key: KeySource) -> Version:
        """Sign a version with a private key (a file, `env:NAME`, PEM as bytes): that these are its parts, and
        this is its name. The signature is in the log, and survives a push. Returns the version."""
        ref_of("ref", ref)
        return demanding.sign(self._repo, ref, key)

    def grant(self, key: KeySource, *rights: str) -> None:
        """Let a public key do these things in this store and nothing else; without any, nothing at all.

        `rights` are `save`, `tag` (or `tag:production`, `tag:rc-*`), `delete`, `collect`, `sign` and `grant`.
        From the first grant on, what is written into the store counts only if it is signed by a key with the
        right to it. The store must have been opened with `sign=`, the key of somebody who may grant; the
        first grant also lets that key grant. See docs/security.md.
        """
        demanding.grant(self._repo, key, rights)
