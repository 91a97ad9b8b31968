"""An example of each action of the pages, and tokens of each right."""

from __future__ import annotations

from pathlib import Path

from saver.serve.tokens import Gate, add_token

ACTIONS = {
    "/tag/team/net@1": {"tag": "old"},
    "/untag/team/net": {"tag": "production"},
    "/note/team/net@1": {"notes": "one\r\ntwo"},
    "/note/team/net": {"notes": "a model"},
    "/label/team/net@1": {"key": "licence", "value": "MIT"},
    "/delete-now/team/net@1": {"sure": "team/net@1"},
    "/health/check": {},
    "/health/collect": {},
    "/health/measure": {},
}
"""An example of each action."""

KEEPING = ("/health/collect", "/health/measure")
"""Those that leave the store as it is."""

RIGHTS = {
    "reader": ("read",), "writer": ("read", "write"), "owner": ("admin",), "narrow": ("read:tuned",),
    "robot": ("predict",),
}  # fmt: skip


def gate_with(folder: Path) -> tuple[Gate, dict[str, str]]:
    """A gate that needs tokens, and a token of each of `RIGHTS`, by name."""
    path = folder / "tokens.json"
    tokens = {name: add_token(path, name, scopes)[0] for name, scopes in RIGHTS.items()}
    return Gate(path), tokens
