"""A made-up world of very many policies, which is made once and kept.

A few real policies become Ready through the API server and the operator, and the
others are cast from one of them (`bench.mould`) and written into etcd. The data folder
is kept, and each run begins with a copy of it. The emulator has all the organizations,
with policies of the same value, but later dates. So the instance's cursor is set to a
later event: as after any restart, the operator has no reason to look at a quiet policy.
"""

import asyncio
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from bench import etcd, phases
from bench.load import driving
from bench.mould import Mould
from bench.phases import until_quiet
from bench.processes import INSTANCE, NAMESPACE, Processes, running_processes
from zitadel_notification_operator.demo.processes import free_port

REAL = 25
"""The number of real policies."""
ROLL_OUT = 60
"""How many made-up policies became Ready in the same second."""
LATER = 3600
"""Seconds between the events of the policies and the cursor: more than the search for
events looks back."""

_PREFIX = "/registry/zitadel-notification.dev/notificationpolicies/"
_FIRST = 280_000_000_000_000_101
"""The emulator's first organization besides the credential's."""
_TIMES = ("creationTimestamp", "time", "lastTransitionTime")
_START = datetime(2026, 11, 1, tzinfo=UTC)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class World:
    """A data folder of etcd with many policies.

    Attributes:
        data: The folder.
        port: The port of the ZITADEL that the instance names.
        made: The number of real policies that equal what the mould makes of them.
    """

    data: Path
    port: int
    made: int


def kept_world(policies: int, checkout: Path, kept: Path, say: Say) -> World:
    """Return the world of this schema and size; make it if it is not there.

    Args:
        policies: The number of policies.
        checkout: The checkout of the operator and its CRDs.
        kept: The folder for data folders of etcd.
        say: Receives a line if the world has to be made.
    """
    crds = sorted((checkout / "deploy" / "crds").glob("*.yaml"))
    schema = hashlib.sha256(b"".join(path.read_bytes() for path in crds))
    folder = kept / f"{schema.hexdigest()[:12]}-{policies}"
    about = folder / "world.json"
    if not about.exists():
        shutil.rmtree(folder, ignore_errors=True)
        say(f"making a world of {policies} policies, which is kept in {folder}")
        with tempfile.TemporaryDirectory("-znp-bench") as name:
            known = _make_world(policies, checkout, Path(name), folder / "etcd")
        about.write_text(json.dumps(known) + "\n")
    known = json.loads(about.read_text())
    return World(folder / "etcd", known["port"], known["made"])


def fill_zitadel(processes: Processes) -> None:
    """Set all policies, and the instance's cursor to an event long after that."""
    processes.zitadel("policies", "PUT", {"passwordChange": False})
    known = [org["id"] for org in processes.zitadel("organizations")]
    # The first one is the organization of the credential.
    processes.organizations = known[1:]
    processes.zitadel("clock", "POST", {"seconds": LATER})
    made = processes.zitadel("organizations", "POST", {"name": "Made later"})
    last = processes.zitadel(f"events?aggregate={made['id']}")[-1]
    cursor = f"{last['time']} {last['sequence']} {last['aggregate']}"
    patch = json.dumps({"status": {"driftCursor": cursor}})
    processes.plane.kubectl(
        *("patch", "zni", INSTANCE, "--subresource=status", "--type=merge", "-p", patch)
    )


def _make_world(
    policies: int, checkout: Path, folder: Path, data: Path
) -> dict[str, int]:
    port = free_port()
    with running_processes(folder, checkout, REAL, port=port) as processes:
        asyncio.run(_make_real_ones(processes))
    [left] = (folder / "plane").glob("etcd-*")
    with etcd.serving(left, folder) as store:
        stored = store.under(_PREFIX)
        made = _mould_of(stored)
        asyncio.run(store.create(_made_up(made, policies)))
    shutil.copytree(left, data)
    return {"port": port, "made": len(stored)}


async def _make_real_ones(processes: Processes) -> None:
    async with driving(processes) as driver:
        await phases.create_all(processes, driver, REAL)
        # So that the instance's status is that of a quiet time.
        await phases.until_reported(driver, REAL)
        await until_quiet(processes)
    processes.stop_operator()


def _mould_of(stored: dict[str, bytes]) -> Mould:
    """Return a mould, after it has made all real policies anew.

    Raises:
        RuntimeError: One of them is stored otherwise.
    """
    if len(stored) != REAL:
        raise RuntimeError(f"{REAL} policies were made, etcd holds {len(stored)}")
    mould = Mould.of(next(iter(stored.values())))
    for key, value in stored.items():
        again = mould.recast(value)
        if again != value or key != _key(Mould.of(value).organization):
            raise RuntimeError(
                f"{key}: stored {value!r}, but the mould makes {again!r}"
            )
    return mould


def _made_up(mould: Mould, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield keys and values of made-up policies, so that there are `count` in all."""
    chance = random.Random(1)
    for number in range(REAL, count):
        organization = str(_FIRST + number)
        moment = _START + timedelta(seconds=number // ROLL_OUT)
        exact = moment + timedelta(microseconds=chance.randrange(10**6))
        values = {
            "organizationName": f"Organization {number + 1}",
            "sequence": mould.sequence,
            "creationDate": f"{exact:%Y-%m-%dT%H:%M:%S.%fZ}",
            "changeDate": f"{exact:%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        when = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        uid = str(UUID(int=chance.getrandbits(128), version=4))
        values |= dict.fromkeys(_TIMES, when)
        yield _key(organization), mould.cast(organization, uid, values.__getitem__)


def _key(organization: str) -> str:
    return f"{_PREFIX}{NAMESPACE}/p-{organization}"
