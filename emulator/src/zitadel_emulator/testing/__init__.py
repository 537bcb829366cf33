"""A ZITADEL for the tests of its clients: `EmulatedZitadel`, which `start` runs.

With pytest, use the fixture `zitadel` of `zitadel_emulator.pytest_plugin` instead of
`start`. Everything is documented at the methods of `EmulatedZitadel`:

- `organizations`: make, rename, deactivate and remove organizations; domains.
- `users`: service users with roles and credentials.
- `policies`: set a notification policy, and see both sides of it.
- `trouble`: faults, lost events, switches, the clock, the database.
- `records`: the requests that arrived, and the event log.
- `control_path`: the HTTP calls behind all of these.
- `process`: starts and ends the emulator.
"""

from zitadel_emulator.behavior import Behavior
from zitadel_emulator.faults import BadControl, Fault

from .control_path import EmulatorEnded
from .emulated import EmulatedZitadel
from .policies import Policy
from .process import NotStarted, start
from .records import Event, Request
from .users import Credential, User

__all__ = [
    "BadControl",
    "Behavior",
    "Credential",
    "EmulatedZitadel",
    "EmulatorEnded",
    "Event",
    "Fault",
    "NotStarted",
    "Policy",
    "Request",
    "User",
    "start",
]
