"""`python -m saver`: the command line."""

from __future__ import annotations

from saver.cli import main

main()
