"""What may be said of a version after it was saved: tags, labels and notes."""

from __future__ import annotations

from collections.abc import Mapping

from saver.details import notes_of
from saver.repo import changing
from saver.repo.naming import labels_of, model_of, ref_of, tag_of
from saver.repo.repository import Repository
from saver.repo.signing import tag as tag_version
from saver.repo.version import Version


class Annotating:
    """Sets tags, labels and notes. `Saver` has these methods."""

    _repo: Repository

    def tag(self, ref: str | Version, tag: str) -> None:
        """Make `model@tag` name this version. The tag moves if another version has it."""
        ref_of("ref", ref)
        tag_version(self._repo, ref, tag_of("tag", tag))

    def untag(self, model: str, tag: str) -> None:
        """Remove a tag; the version stays. Raises NotFoundError if there is no such tag."""
        changing.untag(self._repo, model_of(model), tag_of("tag", tag))

    def label(self, ref: str | Version, labels: Mapping[str, str | float | None]) -> None:
        """Set labels of a version, by key, and remove those whose value is None; others stay.

        A model's name alone means the model itself, and `iris@latest` its newest version. The labels of a
        model outlive its versions.
        """
        ref_of("ref", ref)
        changing.label(self._repo, ref, labels_of(labels))

    def note(self, ref: str | Version, notes: str) -> None:
        """Replace the notes of a version, or of a model: `ref` is as in `label`. "" removes them."""
        ref_of("ref", ref)
        changing.note(self._repo, ref, notes_of(notes))
