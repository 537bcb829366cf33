"""The probe of an instance: read its credential and ask ZITADEL who answers.

Credential and CA bundle are read at least every minute, so a rotation needs no restart.
ZITADEL itself is called every few minutes, and at once after a pass saw a failure. A
probe writes nothing to ZITADEL.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

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
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import unpinned
from zitadel_notification_operator.engine.calls.instance_state import (
    Access,
    Connection,
    InstanceState,
    ProbeMemory,
    is_superseded,
)
from zitadel_notification_operator.engine.calls.organization_cache import (
    OrganizationCache,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.records import (
    depends_on_zitadel,
    recorded_target,
    require_understood,
)
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.ports import (
    Connector,
    PolicyClient,
    SecretReader,
)
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import StalePass

from .class_check import ClassCheck
from .grant_lookup import Failed, Found, affected, look_up, note

CHECK_INTERVAL = 180.0
"""Seconds after which ZITADEL is asked again who it is, if nothing happens earlier."""

CREDENTIAL_INTERVAL = 25.0
"""Seconds without a call that has shown that the credential is good, after which one
small call tries it. A refusal is reported within a minute, and twenty seconds of that
are needed to be sure of it."""


@dataclass(eq=False, repr=False)
class InstanceProbe:
    """Probes instances.

    Args:
        inventory: Remembers which ZITADEL an instance reaches, and what grants mean.
        wakeups: Queues the policies that this affects.
        writes: Clears what statuses hold of another ZITADEL.
        secrets: Reads credentials and CA bundles.
        connector: Makes clients.
        classes: Says whether a client may still make a call, and whether another class
            of operators writes to the same ZITADEL.
        now: Returns the wall-clock time.
    """

    _inventory: Inventory
    _wakeups: Wakeups
    _writes: OwnWrites
    _secrets: SecretReader
    _connector: Connector
    _classes: ClassCheck
    _now: Callable[[], datetime]

    async def run(self, instance: InstanceObject, state: InstanceState) -> None:
        """Probe an instance, unless the last probe still holds.

        Args:
            instance: The record as the inventory holds it.
            state: Receives the connection; the caller sets its verdict.

        Raises:
            TerminalError: `SpecNotUnderstood`: it is not known how to reach the
                instance.
            OperatorError: Why it cannot be used now.
            RequeueAfter: Another operator has yet to give the ZITADEL up.
        """
        require_understood(instance)
        memory = state.probe
        if memory.tried is not None and memory.tried.endpoint != instance.endpoint:
            state.leave_endpoint()
        access = await self._read(instance)
        if not self._must_ask(instance, state, access):
            await self._try_credential(state)
            return
        if memory.pause is not None and loop_time() < memory.pause_until:
            raise memory.pause  # ZITADEL asked us to wait; only Kubernetes was read
        # Cleared only here: any suspicion from now on causes another probe.
        state.suspected = False
        same, memory.tried = memory.tried == access, access
        reached = self._connect(instance, access)
        client = reached.guarded(self._classes.require_lease)
        with _heeding(memory):
            identity = await client.identify()
        if is_superseded(self._inventory, instance):
            return
        self._require_same_zitadel(instance, identity.zitadel_id)
        await self._classes.require_first(instance, identity.zitadel_id)
        await self._unpin(instance, state, identity.zitadel_id)
        await self._classes.clear(instance, identity.zitadel_id)
        organization_cache = _organization_cache(state, client, identity, same=same)
        # What grants mean is looked up again at each probe: a rename may revoke one.
        organization_cache.drop()
        meanings = await look_up(instance, organization_cache)
        if is_superseded(self._inventory, instance):
            return
        if self._is_asked_anew(instance, state, identity, same=same):
            self._wakeups.affected(self._inventory.users_of(instance.name))
        check = partial(self._classes.require_call, instance.name)
        connection = Connection(reached.guarded(check), identity, organization_cache)
        self._record(instance, state, connection, meanings)

    def _record(
        self,
        instance: InstanceObject,
        state: InstanceState,
        connection: Connection,
        meanings: tuple[Found, Failed],
    ) -> None:
        """Record what a probe has found, and queue the policies that this affects.

        There is no await, so no other task sees a part of the change.
        """
        inventory, wakeups, memory = self._inventory, self._wakeups, state.probe
        lookup, failed = meanings
        zitadel_id = connection.zitadel_id
        if state.proven is not None and state.proven.zitadel_id != zitadel_id:
            state.event_log.cursor = None
        else:
            # Names that could not be looked up mean what they meant at the last probe.
            for name in failed.keys() - inventory.to_look_up(instance):
                lookup[name] = inventory.meant(instance.name, name)
        state.proven, memory.good = connection, memory.tried
        memory.generation = instance.generation
        memory.checked_at = state.calls.answered_at = loop_time()
        changed = note(memory, failed, loop_time())
        wakeups.affected(inventory.identified(instance.name, zitadel_id))
        moved = inventory.looked_up(instance.name, lookup)
        if moved is not None:
            wakeups.regranted(instance.name, moved)
        wakeups.affected(affected(inventory, instance, changed))

    async def _try_credential(self, state: InstanceState) -> None:
        """Make one small call, if no other has shown that the credential is good."""
        now = loop_time()
        if state.proven is None or now - state.calls.answered_at < CREDENTIAL_INTERVAL:
            return
        with _heeding(state.probe):
            await state.proven.client.authenticate()
        state.calls.answered_at = now

    def _is_asked_anew(
        self,
        instance: InstanceObject,
        state: InstanceState,
        identity: Identity,
        *,
        same: bool,
    ) -> bool:
        """Return whether calls that ZITADEL lacked may exist now.

        That is so after a change of spec, credential, rights or version, or when a
        person asks for a pass.
        """
        handled = instance.status.last_handled_reconcile_at
        return (
            not same
            or state.probe.generation != instance.generation
            or state.proven is None
            or state.proven.identity != identity
            or instance.requested_at not in {None, handled}
        ) and state.calls.apis.doubt()

    async def _read(self, instance: InstanceObject) -> Access:
        secrets, own = self._secrets, self._inventory.own_namespace
        roots = None
        if instance.ca is not None:
            read = secrets.read_secret
            if instance.ca.kind == "ConfigMap":
                read = secrets.read_config_map
            roots = parse_roots(instance.ca, await read(instance.ca.name), own)
        data = await secrets.read_secret(instance.credential.secret)
        credential = parse_credential(instance.credential, data, own, self._now())
        return Access(instance.endpoint, roots, credential)

    def _connect(self, instance: InstanceObject, access: Access) -> PolicyClient:
        try:
            return self._connector.connect(
                instance.name, access.endpoint, access.credential, access.roots
            )
        except TerminalError as error:
            if error.reason is not Reason.CA_BUNDLE_INVALID or instance.ca is None:
                raise
            where = bundle_name(instance.ca, self._inventory.own_namespace)
            raise TerminalError(error.reason, f"{where}: {error.message}") from error

    def _must_ask(
        self, instance: InstanceObject, state: InstanceState, access: Access
    ) -> bool:
        memory, requested = state.probe, instance.requested_at
        return (
            state.proven is None
            or state.failure is not None
            or state.suspected
            or memory.tried != access
            or memory.generation != instance.generation
            or loop_time() - memory.checked_at >= CHECK_INTERVAL
            or requested not in {None, instance.status.last_handled_reconcile_at}
            or bool(memory.unread)
            or bool(self._inventory.to_look_up(instance))
        )

    def _require_same_zitadel(self, instance: InstanceObject, zitadel_id: str) -> None:
        others = self._former_ids(instance) - {zitadel_id}
        if not others or instance.accepted_id == zitadel_id:
            return
        known = min(others)
        raise TerminalError(
            Reason.INSTANCE_CHANGED,
            f"The url leads to ZITADEL {zitadel_id}, before it was {known}; nothing is "
            "touched until the annotation zitadel-notification.dev/accept-instance-id "
            f"is {zitadel_id}",
        )

    async def _unpin(
        self, instance: InstanceObject, state: InstanceState, zitadel_id: str
    ) -> None:
        """Invalidate what policies hold of another ZITADEL, before reporting this one.

        Their references are then resolved again. The instance's status gets the new id
        only after this, so a crash in between repeats it. A recreated instance has no
        id in its status; if it leads to the same ZITADEL as before, nothing is
        invalidated.
        """
        if state.proven is not None and state.proven.zitadel_id == zitadel_id:
            return  # done before; only the status with the new id is not stored yet
        if not self._former_ids(instance) - {zitadel_id}:
            return
        failure = TransientError(
            Reason.INSTANCE_NOT_READY,
            "The ZitadelInstance leads to another ZITADEL than before; the policy "
            "begins anew there",
        )
        # From here on, a pass that still works with the former one reports nothing.
        self._wakeups.leads_elsewhere(instance.name)
        for key in self._inventory.users_of(instance.name):
            await self._unpin_one(key, zitadel_id, failure)

    def _former_ids(self, instance: InstanceObject) -> set[str]:
        """Return the ids of the ZITADELs that the object, or an earlier one, led to."""
        known = instance.status.instance_id
        # A recreated object has no id in its status, but its policies' originals may
        # have one.
        if known:
            return {known}
        return self._inventory.zitadel_ids_seen(instance.name)

    async def _unpin_one(
        self, key: PolicyKey, zitadel_id: str, failure: TransientError
    ) -> None:
        """Invalidate what a policy holds, or gets meanwhile, of another ZITADEL."""
        while True:
            policy = self._inventory.policies.get(key)
            if policy is None or not depends_on_zitadel(policy):
                return
            marked = recorded_target(policy)
            if marked is not None and marked.zitadel_id == zitadel_id:
                # All that it holds belongs to this ZITADEL. The annotation is the only
                # mark that survives a loss of the instance's status.
                return
            status = unpinned(policy, failure, self._now())
            try:
                await self._writes.apply_status(policy, status)
            except StalePass:
                continue  # its pass was writing; what that wrote is invalid as well
            except ObjectGone:
                return


@contextmanager
def _heeding(memory: ProbeMemory) -> Iterator[None]:
    """Remember when ZITADEL asks us by Retry-After to wait for a while."""
    try:
        yield
    except TransientError as failure:
        if failure.retry_after:
            memory.pause = failure
            memory.pause_until = loop_time() + failure.retry_after
        raise


def _organization_cache(
    state: InstanceState, client: PolicyClient, identity: Identity, *, same: bool
) -> OrganizationCache:
    """Return the list of organizations; the old one if the credential is the same."""
    before = state.proven
    if same and before is not None and before.identity == identity:
        return before.organization_cache
    lists = identity.capabilities.list_organizations
    return OrganizationCache(client, lists=lists, page=state.probe.organizations)
