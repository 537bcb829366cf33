"""Log lines: JSON for machines, text for people; one line an entry, on stderr.

Nothing here sees a secret: adapters keep them out of what they log, and the HTTP
client's own request lines are switched off.
"""

import logging
import sys
from enum import StrEnum

from pythonjsonlogger.json import JsonFormatter

NOISY = ("httpx", "httpcore", "kopf.objects", "kubernetes", "aiohttp.access")
"""Loggers of libraries that write a line per request or event."""


class LogFormat(StrEnum):
    """How a log line is written."""

    JSON = "json"
    TEXT = "text"


def configure_logs(log_format: LogFormat, level: str) -> None:
    """Send all logs of the process to stderr in one form.

    Args:
        log_format: JSON or text.
        level: A level name of `logging`, such as INFO.
    """
    handler = logging.StreamHandler(sys.stderr)
    if log_format is LogFormat.JSON:
        handler.setFormatter(
            JsonFormatter(
                "%(asctime)s %(levelname)s %(name)s %(message)s",
                rename_fields={"asctime": "timestamp", "levelname": "level"},
            )
        )
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
