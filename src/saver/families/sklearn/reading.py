"""How trees of scikit-learn's objects are read. Needs no scikit-learn."""

from __future__ import annotations

from saver.families.python.reading import held_values, mapping

READERS = {"sklearn.bunch": mapping}

HOLDS = {"sklearn.bunch": held_values}

MAPPINGS = {"sklearn.bunch": True}
