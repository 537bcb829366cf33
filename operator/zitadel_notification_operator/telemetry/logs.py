"""Formats log lines, as JSON or as text: one line per record, on stdout.

No secrets reach this module: the adapters keep them out of what they log, and the HTTP
client's own request lines are turned off. Of a record's extra attributes only those
named here are written, so that no library can add others.
`docs/reference/logs-and-events.md` explains the fields.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from zitadel_notification_operator.core.text import one_line

NOISY = ("httpx", "httpcore", "kopf.objects", "kubernetes", "aiohttp.access")
"""Loggers of libraries that write a line for each request or event."""

SUBJECT = ("kind", "namespace", "name", "generation")
"""The fields that say which object a line is about."""

_KOPF_REFERENCE = "k8s_ref"


class LogFormat(StrEnum):
    """The format of the log lines."""

    JSON = "json"
    TEXT = "text"


class LogContextFilter(logging.Filter):
    """Adds the object that is being reconciled to each record; drops none."""

    def __init__(self, current: Callable[[], object | None]) -> None:
        super().__init__()
        self._current = current

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields of the current object that the record does not have."""
        subject = self._current()
        if subject is not None:
            for field in SUBJECT:
                record.__dict__.setdefault(f"znp_{field}", getattr(subject, field))
        return True


class JsonLines(JsonFormatter):
    """Formats a record as one JSON object with a fixed set of fields."""

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """Fill the object; `message_dict` holds the traceback, if there is one."""
        log_data["timestamp"] = _timestamp(record)
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.message
        log_data.update(_fields(record))
        log_data.update(message_dict)


class TextLines(logging.Formatter):
    """Formats a record as one line for people, with the fields at its end."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        fields = " ".join(
            f"{name}={value if isinstance(value, int) else json.dumps(value)}"
            for name, value in _fields(record).items()
        )
        head = f"{_timestamp(record)} {record.levelname:7} {record.name}"
        text = f"{head}: {one_line(record.getMessage())} {fields}".rstrip()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure_logs(log_format: LogFormat, level: str) -> None:
    """Send all logs of the process to stdout in one format; to stderr if it is closed.

    Args:
        log_format: JSON or text.
        level: A level name of `logging`, such as INFO.
    """
    is_closed = sys.__stdout__ is None
    handler = logging.StreamHandler(sys.stderr if is_closed else sys.stdout)
    lines = JsonLines() if log_format is LogFormat.JSON else TextLines()
    handler.setFormatter(lines)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def attach_log_context(current: Callable[[], object | None]) -> None:
    """Attach the object that is being reconciled to every log line from now on.

    Args:
        current: Called for each record, in the task that logs it. Returns the object
            with the attributes named in `SUBJECT`, or None if the record is about none.
    """
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogContextFilter(current))


def _timestamp(record: logging.LogRecord) -> str:
    """Return the record's time as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _fields(record: logging.LogRecord) -> dict[str, str | int]:
    """Return the fields of the object a record is about, and the reason of an Event.

    kopf names the object of its handlers in a way of its own.
    """
    reference: Any = record.__dict__.get(_KOPF_REFERENCE)
    about: Mapping[str, Any] = reference if isinstance(reference, Mapping) else {}
    fields: dict[str, str | int] = {}
    for field in SUBJECT:
        value = about.get(field) or record.__dict__.get(f"znp_{field}")
        if value:
            fields[field] = value
    if reason := record.__dict__.get("znp_reason"):
        fields["reason"] = reason
    return fields
