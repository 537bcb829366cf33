"""How long ago something was, as kubectl writes it: `45s`, `12m`, `3h`, `4d`."""

from datetime import datetime

from zitadel_notification_operator.core.conditions import parse_time

UNKNOWN = "<unknown>"
"""What kubectl writes if there is no time."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def age_of(text: str, now: datetime) -> str:
    """Return the age of a time in the form of Kubernetes, in its largest unit.

    Args:
        text: The time; anybody may have written it.
        now: The present time, with a time zone.
    """
    moment = parse_time(text)
    if moment is None:
        return UNKNOWN
    seconds = max(int((now - moment).total_seconds()), 0)
    for unit, length in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE)):
        # kubectl changes to the larger unit at two of it.
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
