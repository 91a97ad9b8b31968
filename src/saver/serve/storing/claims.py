"""What the sender of a request may do."""

from __future__ import annotations

from saver.serve.refusals import Refusal
from saver.serve.tokens import Gate, Token


class Claims:
    """The rights of one request: those of its token, and those that everybody has."""

    def __init__(self, gate: Gate, token: Token | None) -> None:
        self._gate, self._token = gate, token
        self.name = token.name if token is not None else ""

    def may(self, right: str, model: str | None) -> bool:
        """Whether it gives a right to a model; with None, to the whole store."""
        return self._gate.is_open or any(each.may(right, model) for each in self._gate.tokens_of(self._token))

    def may_some(self, right: str) -> bool:
        """Whether it gives a right to any model at all."""
        return self._gate.is_open or any(each.may_some(right) for each in self._gate.tokens_of(self._token))

    def demand(self, right: str, model: str | None) -> None:
        """Raise Refusal unless it gives a right to a model; with None, to the whole store."""
        if not self.may(right, model):
            what = f"{right} for the whole store" if model is None else f"{right}:{model}"
            raise Refusal("forbidden", f"{self._shown()} does not give the right {what}")

    def demand_some(self, right: str) -> None:
        """Raise Refusal unless it gives a right to any model."""
        if not self.may_some(right):
            raise Refusal("forbidden", f"{self._shown()} does not give the right {right}")

    def _shown(self) -> str:
        return f"the token {self.name!r}" if self._token is not None else "asking without a token"
