"""The proof of an instance: read what it is reached with, and ask who answers.

Credential and roots are read at least every minute, so a rotation needs no restart;
ZITADEL itself is asked again every few minutes, or at once when somebody saw trouble.
Nothing is written to ZITADEL.
"""

import asyncio

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.credentials import (
    bundle_name,
    parse_credential,
    parse_roots,
)
from zitadel_notification_operator.core.errors import (
    ObjectGone,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import references_in
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.objects import InstanceObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.report import unpinned
from zitadel_notification_operator.engine.connections import Access, Connection, Line
from zitadel_notification_operator.engine.directory import Directory
from zitadel_notification_operator.engine.outcome import Superseded
from zitadel_notification_operator.engine.ports import PolicyClient
from zitadel_notification_operator.engine.room import Room

CHECK_INTERVAL = 180.0
"""Seconds after which a quiet ZITADEL is asked again who it is."""


class Proof:
    """Proves instances."""

    def __init__(self, room: Room) -> None:
        self._room = room

    async def run(self, instance: InstanceObject, line: Line) -> None:
        """Prove an instance, unless the last proof still holds.

        Args:
            instance: As the inventory holds it.
            line: Takes the connection; its verdict is the caller's to set.

        Raises:
            OperatorError: Why it cannot be used now.
        """
        if line.endpoint != instance.endpoint:
            # The spec names another place: what worked there says nothing here.
            line.proven, line.tried, line.endpoint = None, None, instance.endpoint
        access = await self._read(instance)
        if not self._must_ask(instance, line, access):
            return
        line.suspected = False
        same, line.tried = line.tried == access, access
        client = self._connect(instance, access)
        identity = await client.identify()
        if is_superseded(self._room, instance):
            return
        self._require_same_zitadel(instance, identity.zitadel_id)
        await self._unpin(instance, line, identity.zitadel_id)
        directory = _directory(line, identity, same=same)
        # What grants mean is looked up anew at each check: a rename may revoke one.
        directory.drop()
        lookup = await _look_up(instance, client, directory)
        if is_superseded(self._room, instance):
            return
        if line.proven is None or line.proven.identity != identity:
            # Another role may read what the former one could not.
            self._room.drift.refuse(instance.name, refused=False)
        if line.proven is not None and line.proven.zitadel_id != identity.zitadel_id:
            line.cursor = None
        # From here on without a pause: nobody sees a part of it.
        line.proven = Connection(client, identity, directory)
        line.generation = instance.generation
        line.checked_at = asyncio.get_running_loop().time()
        inventory, news = self._room.inventory, self._room.news
        news.concerned(inventory.identified(instance.name, identity.zitadel_id))
        moved = inventory.looked_up(instance.name, lookup)
        if moved is not None:
            news.regranted(instance.name, moved)

    async def _read(self, instance: InstanceObject) -> Access:
        secrets, own = self._room.secrets, self._room.inventory.own_namespace
        roots = None
        if instance.ca is not None:
            read = secrets.read_secret
            if instance.ca.kind == "ConfigMap":
                read = secrets.read_config_map
            roots = parse_roots(instance.ca, await read(instance.ca.name), own)
        data = await secrets.read_secret(instance.credential.secret)
        credential = parse_credential(instance.credential, data, own, self._room.now())
        return Access(instance.endpoint, roots, credential)

    def _connect(self, instance: InstanceObject, access: Access) -> PolicyClient:
        try:
            return self._room.connector.connect(
                instance.name, access.endpoint, access.credential, access.roots
            )
        except TerminalError as error:
            if error.reason is not Reason.CA_BUNDLE_INVALID or instance.ca is None:
                raise
            where = bundle_name(instance.ca, self._room.inventory.own_namespace)
            raise TerminalError(error.reason, f"{where}: {error.message}") from error

    def _must_ask(self, instance: InstanceObject, line: Line, access: Access) -> bool:
        age = asyncio.get_running_loop().time() - line.checked_at
        return (
            line.proven is None
            or line.trouble is not None
            or line.suspected
            or line.tried != access
            or line.generation != instance.generation
            or age >= CHECK_INTERVAL
            or instance.requested_at != instance.status.last_handled_reconcile_at
            or bool(self._room.inventory.to_look_up(instance))
        )

    def _require_same_zitadel(self, instance: InstanceObject, zitadel_id: str) -> None:
        inventory = self._room.inventory
        known = instance.status.instance_id
        # A recreated object knows nothing; the policies' originals may.
        ids = {known} if known else inventory.zitadel_ids_seen(instance.name)
        others = ids - {zitadel_id}
        if not others or instance.accepted_id == zitadel_id:
            return
        known = min(others)
        self._room.news.concerned(inventory.mistaken(instance.name))
        raise TerminalError(
            Reason.INSTANCE_CHANGED,
            f"The url leads to ZITADEL {zitadel_id}, before it was {known}; nothing is "
            "touched until the annotation zitadel-notification.dev/accept-instance-id "
            f"is {zitadel_id}",
        )

    async def _unpin(
        self, instance: InstanceObject, line: Line, zitadel_id: str
    ) -> None:
        """Void what policies hold of another ZITADEL, before this one is told.

        References are resolved anew. The instance's status names the new id only
        after this, so a crash in between repeats it.
        """
        if instance.status.instance_id == zitadel_id:
            return
        if line.proven is not None and line.proven.zitadel_id == zitadel_id:
            return  # done before; only the status that names it is not stored yet
        trouble = TransientError(
            Reason.INSTANCE_NOT_READY,
            "The ZitadelInstance leads to another ZITADEL than before; the policy "
            "begins anew there",
        )
        # A pass that still works with the former one reports nothing from here on.
        news, inventory = self._room.news, self._room.inventory
        news.concerned(inventory.mistaken(instance.name))
        for key in inventory.users_of(instance.name):
            await self._unpin_one(key, trouble)

    async def _unpin_one(self, key: PolicyKey, trouble: TransientError) -> None:
        """Void what a policy holds of another ZITADEL, also what it gets meanwhile."""
        while True:
            policy = self._room.inventory.policies.get(key)
            if policy is None or not self._room.ownership.depends_on_zitadel(policy):
                return
            status = unpinned(policy, trouble, self._room.now())
            try:
                stored = await self._room.writer.apply_policy_status(policy, status)
            except Superseded:
                continue  # its pass was writing: what that wrote is void, too
            except ObjectGone:
                return
            self._room.news.stored(stored)


async def _look_up(
    instance: InstanceObject, client: PolicyClient, directory: Directory
) -> dict[Reference, str | None]:
    """Find what names and domains in grants mean now; a rename moves a grant."""
    references = references_in(instance.grants)
    lookup: dict[Reference, str | None] = {}
    for reference in references:
        try:
            found = await directory.find(client, reference, len(references))
        except TerminalError as error:
            if error.reason is not Reason.ORGANIZATION_NOT_FOUND:
                raise
            lookup[reference] = None
        else:
            lookup[reference] = found.id
    return lookup


def is_superseded(room: Room, instance: InstanceObject) -> bool:
    """Return whether the object leads elsewhere by now, or is another one."""
    newest = room.inventory.instances.get(instance.name)
    return newest is None or (
        (newest.uid, newest.endpoint, newest.ca, newest.credential)
        != (instance.uid, instance.endpoint, instance.ca, instance.credential)
    )


def _directory(line: Line, identity: Identity, *, same: bool) -> Directory:
    """Keep the list of organizations while the credential is the same."""
    before = line.proven
    if same and before is not None and before.identity == identity:
        return before.directory
    return Directory(lists=identity.capabilities.list_organizations)
