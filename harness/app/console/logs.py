"""structlog -> one JSON object a line in the run directory, secrets replaced before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

REDACTED = "[redacted]"


def redact(secrets: Iterable[str]) -> structlog.typing.Processor:
    """A processor that replaces every secret in every text of an event, at any depth."""
    known = tuple(secret for secret in secrets if secret)

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            for secret in known:
                value = value.replace(secret, REDACTED)
            return value
        if isinstance(value, dict):
            return {clean(key): clean(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [clean(entry) for entry in value]
        return value

    def process(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: clean(value) for key, value in event.items()}

    return process


@contextmanager
def logging_to(path: Path, secrets: Iterable[str]) -> Iterator[None]:
    """All structlog events of the body go to a file; tracebacks as text in the field ``exception``."""
    with path.open("a", encoding="utf-8") as file:
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                redact(secrets),
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
            logger_factory=structlog.WriteLoggerFactory(file=file),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.reset_defaults()
