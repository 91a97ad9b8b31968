"""Spans of OpenTelemetry, if it is installed; without it, nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Spanned = Callable[[Any, int], None]


def _nothing(ask: Any, status: int) -> None:
    return


class Tracing:
    """Makes a span of each request, as a part of the client's trace if a header names one."""

    def __init__(self) -> None:
        self._tracer: Any = None
        try:
            from opentelemetry import propagate, trace
        except ImportError:
            return
        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
            return  # nobody collects spans: to make them would only take time
        self._tracer, self._extract = trace.get_tracer("saver.serve"), propagate.extract
        self._server = trace.SpanKind.SERVER

    @property
    def on(self) -> bool:
        """Whether anybody collects spans."""
        return self._tracer is not None

    @contextmanager
    def span(self, name: str, headers: Mapping[str, str]) -> Iterator[Spanned]:
        """A span with this name; what it yields adds what is known in the end. No inputs are among it."""
        if self._tracer is None:
            yield _nothing
            return
        context = self._extract(dict(headers))
        with self._tracer.start_as_current_span(name, context=context, kind=self._server) as span:

            def known(ask: Any, status: int) -> None:
                found = {
                    "http.response.status_code": status, "saver.model": ask.model,
                    "saver.version": ask.version, "saver.rows": ask.rows, "saver.batch": ask.batch,
                    "saver.request_id": ask.id,
                }  # fmt: skip
                for key, value in found.items():
                    span.set_attribute(key, value)
                for stage, seconds in ask.stages.items():
                    span.set_attribute(f"saver.seconds.{stage}", seconds)

            yield known
