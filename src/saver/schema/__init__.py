"""What goes into a model and what comes out: names, dtypes, shapes, and what an example held.

A schema is data (`fields.py`), derived from an example (`deriving.py`). It checks inputs before a model sees
them (`checking.py`), and takes rows of JSON and CSV (`rows.py`).
"""

from __future__ import annotations

from saver.schema.fields import Container, Field, Schema, Seen, schema_of
from saver.schema.problems import Problem
from saver.schema.rows import to_rows

__all__ = ["Container", "Field", "Problem", "Schema", "Seen", "schema_of", "to_rows"]
