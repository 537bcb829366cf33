"""Finds the policy whose pass is running."""

import asyncio
import re

from zitadel_notification_operator.core.claims import PolicyKey

_PASS = re.compile(r"namespace='([^']*)', name='([^']*)'")


def current_policy() -> PolicyKey | None:
    """Return the policy whose pass is running; the engine names its tasks after it."""
    task = asyncio.current_task()
    name = task.get_name() if task else ""
    found = _PASS.search(name)
    if found is None or "NotificationPolicy" not in name:
        return None
    return PolicyKey(found[1], found[2])
