"""Judges what a process does while it does it: writes, originals, and deletions."""

import asyncio
from dataclasses import replace
from typing import Any

from support.world_model import Model, Target, holds_finalizer, mark_of
from support.world_pass import current_policy
from support.world_zitadel import WorldZitadel
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.settings import Settings

LIST_LIFE = 61.5
"""Seconds for which a cached list of organizations is used, plus the time of a call."""

CALLS = 30.0
"""Seconds between the first read and the last call of a pass, at most."""

TO_BE_RESET = "its deletion has to reset it"
INHERITED_AT_FIRST = "its original is that it inherits"
OTHER_AT_FIRST = "its original is another value"

_OTHER_ENDS = frozenset({TO_BE_RESET, INHERITED_AT_FIRST, OTHER_AT_FIRST})
"""Objections to a write that do not hold for an intermediate step of a repair."""


class Judge:
    """Keeps its own record of originals, and complains about each deviation."""

    def __init__(self, world: Any, model: Model) -> None:
        self._world, self._model = world, model
        self.complaints: list[str] = []
        self._records: dict[tuple[str, Target], OriginalValue] = {}
        self._former: dict[Target, dict[str, OriginalValue]] = {}
        self._met: set[tuple[str, str, Target]] = set()
        self._seen: dict[tuple[PolicyKey, Target], OriginalValue] = {}
        self._last: dict[PolicyKey, OriginalValue] = {}
        self._flags: dict[tuple[PolicyKey, Target], dict[str, object]] = {}
        self._stripped: set[str] = set()
        self._undone: set[tuple[str, Target]] = set()
        self._unconfirmed: set[str] = set()
        self._wrote: set[tuple[str, Target]] = set()

    def complain(self, what: str) -> None:
        """Store a complaint with its time."""
        self.complaints.append(f"{_time():.2f}: {what}")

    def restarted(self) -> None:
        """Forget what was only in the memory of the process.

        After a crash between the writes of annotation and status, only the annotation
        has the original, and policies of other namespaces do not trust it.
        """
        self._met.clear()
        policies = self._world.cluster.policies.values()
        self._unconfirmed = {p.uid for p in policies if p.status.original is None}

    def lost_status(self, policy: PolicyObject) -> None:
        """Record that somebody has removed a status; only the annotation is left.

        Until a pass reports the original again, policies of other namespaces need not
        know it, nor the originals of former owners.
        """
        self._unconfirmed.add(policy.uid)
        mark = mark_of(policy)
        self._met = {met for met in self._met if mark is None or met[2] != mark[0]}

    # Writes to ZITADEL.

    def call(self, zitadel: WorldZitadel, name: str, args: Any, kwargs: Any) -> None:
        """Judge a write to ZITADEL that is being sent."""
        key, org = current_policy(), args[0]
        target = (zitadel.id, org)
        what = f"{key}: {name}{args}{kwargs.get('settings', '')} at {target}"
        if any(zitadel.under_way.values()):  # one at a time, even for two instances
            self.complain(f"two writes at once: {what}")
        known = [] if key is None else self._model.versions(key)
        versions = [v for v in known if v is not None]
        value = kwargs.get("settings")
        whys = []
        for version in versions:
            why = self._why_not(version, target, name, value)
            if not why:
                self._wrote.add((version.uid, target))
                if version.deleting:
                    self._undone.add((version.uid, target))
                break
            whys.append(why)
        else:
            self.complain(f"no policy wants it: {what}: {'; '.join(whys)}")
        if name == "write":
            self._require_flags(key, target, kwargs["before"], what)
        removed_at = zitadel.removed_at.get(org or "")
        if removed_at is None or _time() - removed_at < LIST_LIFE:
            return
        if name == "write" or any(map(_reports_removal, versions)):
            self.complain(f"a write to a removed organization: {what}")

    def _require_flags(
        self, key: PolicyKey | None, target: Target, before: Any, what: str
    ) -> None:
        """Complain unless a write keeps all other flags as its pass has read them."""
        carried = dict(before.unknown_members) if before else {}
        seen = self._flags.get((key, target)) if key else None
        if carried != seen:
            self.complain(f"{what} carries {carried}, but {seen} was seen")

    def _why_not(
        self, policy: PolicyObject, target: Target, name: str, value: Settings | None
    ) -> str:
        """Return why this version of the policy does not want this write, or ""."""
        if not self._model.may_hold(policy, target):
            return "it may not manage the target"
        restates = self._restates(target, name, value)
        if policy.deleting:
            why = self._why_no_undoing(policy, target, name, value)
            return "" if restates and why in _OTHER_ENDS else why
        if name == "reset" and not restates:
            return "it is not being deleted"
        if policy.suspended:
            return "it is suspended"
        if policy.not_understood:
            return "its spec is not understood"
        if policy.settings != value and not restates:
            return f"it wants {policy.settings}"
        older = self._model.older(policy, target)
        return f"{older} owns it" if older else ""

    def _restates(self, target: Target, name: str, value: Settings | None) -> bool:
        """Return whether a write sets what GETs show already, as a repair does."""
        zitadel, org = self._model.zitadel(target[0]), target[1]
        for shown in zitadel.shown_lately(org, CALLS):
            inherits = bool(org) and shown.is_default
            if name == "reset" and inherits:
                return True
            if name == "write" and not inherits and shown.settings == value:
                return True
        return False

    def _why_no_undoing(
        self, policy: PolicyObject, target: Target, name: str, value: Settings | None
    ) -> str:
        if policy.uid in self._world.cluster.by_crd:
            return "its CRD is being deleted"
        rivals = [rival.key for rival in self._model.rivals(policy, target)]
        if rivals:
            return f"{rivals} takes over"
        if self._model.is_wanted_again(policy, target):
            return "its set makes it again"
        record = self._records.get((policy.uid, target))
        if record is None:
            # The object may be gone without a watch event.
            record = self._former.get(target, {}).get(policy.uid)
        if record is None:
            return "it has never owned the target"
        ending = policy.deletion or ("Reset" if target[1] else "Retain")
        if ending == "Reset":
            return "" if name == "reset" and target[1] else TO_BE_RESET
        if ending == "Restore":
            if target[1] and record.is_default:
                return "" if name == "reset" else INHERITED_AT_FIRST
            fits = name == "write" and value == record.settings
            return "" if fits else OTHER_AT_FIRST
        return f"its deletionPolicy is {ending}"

    def saw(
        self, target: Target, value: OriginalValue, flags: dict[str, object]
    ) -> None:
        """Record what the running pass has observed."""
        key = current_policy()
        if key is not None:
            self._seen[key, target] = value
            self._flags[key, target] = flags
            self._last[key] = value

    def status(self, policy: PolicyObject, status: PolicyStatus) -> None:
        """Judge a status that is being sent: it shows what the last GET returned."""
        before, ready = policy.status, find(status.conditions, "Ready")
        shown = status.is_default, status.settings
        if ready is None or ready.status != "True" or shown[1].is_empty:
            return
        was = find(before.conditions, "Ready")
        if was == ready and shown == (before.is_default, before.settings):
            return  # the pass keeps the condition as it was
        last = self._last.get(policy.key)
        if last is None or shown != (last.is_default, last.settings):
            self.complain(f"{policy.key}: is Ready with {shown}, but a GET says {last}")

    # Annotation and finalizer.

    def mark(self, policy: PolicyObject, text: str, finalizer: bool) -> None:
        """Judge an annotation `original` that is being sent."""
        if self._world.by_uid(policy.uid) is None:
            return  # the object is gone, so Kubernetes will refuse the write
        self.meet()
        found = mark_of(replace(policy, original_text=text))
        if found is None:
            self.complain(f"{policy.key}: an original of another object: {text}")
            return
        target, value = found
        versions = [v for v in self._model.versions(policy.key) if v is not None]
        versions = [v for v in versions if v.uid == policy.uid] or [policy]
        # A set that begins to manage claims before it has told its policies.
        asked = policy.set_uid and self._model.may_be_wanted(target, policy.set_uid)
        if not asked and not any(self._model.may_hold(v, target) for v in versions):
            self.complain(f"{policy.key}: an original it may not record: {text}")
        for version in versions:
            older = self._model.older(version, target)
            if not older:
                break
        else:
            self.complain(f"{policy.key}: an original of what {older} owns: {text}")
        if finalizer and not any(_undoes(v) for v in versions):
            self.complain(f"{policy.key}: a finalizer that it does not need")
        allowed = self._first_seen(policy, target)
        if value not in allowed:
            self.complain(f"{policy.key}: recorded {value} of {target}, not {allowed}")
        self._stripped.discard(policy.uid)
        self._met = {m for m in self._met if (m[0], m[2]) != (policy.uid, target)}

    def _first_seen(self, policy: PolicyObject, target: Target) -> list[OriginalValue]:
        """Return the values that may be recorded."""
        own = self._records.get((policy.uid, target))
        seen = self._seen.get((policy.key, target))
        if own is not None:
            # If both are removed or not yet known, only the observed value is left.
            blank = any(map(_is_blank, self._model.versions(policy.key)))
            return [own, seen] if seen and blank else [own]
        strong, weak = [], []
        for (uid, where), value in self._records.items():
            if where != target or uid == policy.uid:
                continue
            weak.append(value)
            if (uid, target) in self._undone or uid in self._unconfirmed:
                continue
            holder = self._world.by_uid(uid)
            met = (policy.uid, uid, target) in self._met
            if met or (holder is not None and self._holds_still(holder, target)):
                strong.append(value)
        for uid, value in self._former.get(target, {}).items():
            weak.append(value)
            met = (policy.uid, uid, target) in self._met
            known = uid not in self._unconfirmed
            if met and known and (uid, target) not in self._undone:
                strong.append(value)
        return strong or ([*weak, seen] if seen else weak)

    def _holds_still(self, holder: PolicyObject, target: Target) -> bool:
        versions = self._model.versions(holder.key)
        return mark_of(holder) is not None and all(
            v is not None and v.uid == holder.uid and self._model.holds(v, target)
            for v in versions
        )

    def on_stored(self, key: PolicyKey, stored: PolicyObject | None) -> None:
        """Update the records of originals for a version that was stored."""
        found = mark_of(stored) if stored is not None else None
        self._confirm(stored)
        if stored is not None and found is not None:
            self._records.setdefault((stored.uid, found[0]), found[1])
        elif stored is not None and stored.status.original is not None:
            # Somebody removed the annotation before the status had the original.
            for target, left in self._former.items():
                if left.get(stored.uid) == stored.status.original:
                    self._records.setdefault(
                        (stored.uid, target), stored.status.original
                    )
        for uid, target in list(self._records):
            policy = self._world.by_uid(uid)
            if policy is None:
                value = self._records.pop((uid, target))
                self._former.setdefault(target, {})[uid] = value
                continue
            mark = mark_of(policy)
            kept = policy.status.original is not None or (mark and mark[0] == target)
            moved = mark is not None and mark[0] != target
            if mark is None and uid == (stored and stored.uid):
                # Somebody removed the annotation: until it is back, no other policy
                # need know the original.
                self._met = {m for m in self._met if m[1:] != (uid, target)}
            if uid == (stored and stored.uid) and (moved or not kept):
                value = self._records.pop((uid, target))
                self._former.setdefault(target, {})[uid] = value
                if uid not in self._stripped:
                    self._met = {m for m in self._met if m[1:] != (uid, target)}

    def _confirm(self, stored: PolicyObject | None) -> None:
        if stored is not None and stored.status.original is not None:
            self._unconfirmed.discard(stored.uid)

    def meet(self) -> None:
        """Record which policies claim a target beside the holder of its original."""
        for (uid, target), _ in list(self._records.items()):
            holder = self._world.by_uid(uid)
            if holder is None or mark_of(holder) is None:
                continue
            if not self._model.claims(holder.key, target):
                continue
            if self._model.older(holder, target):
                continue
            for rival in self._model.rivals(holder, target):
                self._met.add((rival.uid, uid, target))
        self._met = {met for met in self._met if self._claims_still(met)}

    def _claims_still(self, met: tuple[str, str, Target]) -> bool:
        successor = self._world.by_uid(met[0])
        return (
            successor is not None
            and self._model.claims(successor.key, met[2]) is not None
        )

    def strip(self, policy: PolicyObject, finalizer: bool, original: bool) -> None:
        """Judge a removal of annotation or finalizer that is being sent."""
        versions = self._model.versions(policy.key)
        stored = versions[-1]
        if stored is None or stored.uid != policy.uid:
            return
        if original:
            self._stripped.add(policy.uid)
        found = mark_of(stored)
        # When the CRD is deleted, all policies go, and no original is handed over.
        target = found[0] if found and not self._crd_goes() else None
        if target is None or (policy.uid, target) not in self._records:
            return
        if original:
            self._require_handover(policy, stored, target)
        if not self._holds_still(stored, target):
            return
        if all(v.deleting for v in versions if v) and finalizer:
            self._judge_deletion(stored, target)
            return
        owns = not self._model.may_be_older(stored, target)
        alive = not any(v.deleting for v in versions if v)
        if not (owns and alive):
            return
        if original:
            self.complain(f"{policy.key}: the owner loses its original")
        if finalizer and all(_undoes(v) for v in versions if v):
            self.complain(f"{policy.key}: the owner loses its finalizer")

    def _crd_goes(self) -> bool:
        return POLICY in self._world.cluster.crds_ending

    def _require_handover(
        self, policy: PolicyObject, stored: PolicyObject, target: Target
    ) -> None:
        """Complain unless the next owner has received the original before.

        An original that was restored before there was a next owner is not handed over.
        Nor need one be that is still in force, because its owner has stopped managing
        between its annotation and its first write: the next owner will see it.
        """
        if (policy.uid, target) in self._undone:
            return
        if stored.deleting and self._model.may_be_wanted(target, stored.set_uid):
            return  # the operator keeps it in memory for the policy that is made again
        wrote = (policy.uid, target) in self._wrote
        if stored.status.original is None and not wrote and not stored.may_own:
            return
        believes_all = policy.uid not in self._unconfirmed
        successors = sorted(
            (self._model.rank(r), r.key, r.uid)
            for r in self._model.rivals(stored, target)
            if believes_all or r.key.namespace == policy.key.namespace
        )
        given = any(
            where == target and uid != policy.uid and self._world.by_uid(uid)
            for uid, where in self._records
        )
        if successors and not given:
            self.complain(f"{policy.key}: {successors[0][1]} lacks the original")

    def _judge_deletion(self, policy: PolicyObject, target: Target) -> None:
        """Judge the policy in ZITADEL when the deletion of its owner ends."""
        successors = any(
            self._model.may_claim(key, target)
            for key in list(self._world.cluster.policies)
            if key != policy.key
        )
        successors |= self._model.may_be_wanted(target)
        successors |= any(
            uid != policy.uid and where == target and self._world.by_uid(uid)
            for uid, where in self._records
        )
        versions = [v for v in self._model.versions(policy.key) if v is not None]
        endings = {v.deletion or ("Reset" if target[1] else "Retain") for v in versions}
        if successors or len(endings) != 1 or not holds_finalizer(policy):
            return
        zitadel, org = self._model.zitadel(target[0]), target[1]
        changed = max(
            zitadel.foreign.get(org or "", float("-inf")),
            zitadel.caught_up_at(org),
        )
        if org in zitadel.removed or _time() - changed < CALLS:
            return
        now, record = zitadel.value(org), self._records[policy.uid, target]
        what = f"{policy.key}: its deletion leaves {now} in {target}"
        if endings == {"Reset"} and org and not now.is_default:
            self.complain(f"{what}, though it has to reset it")
        if endings == {"Restore"}:
            inherits = bool(org) and record.is_default
            wrong = now.is_default is not inherits if org else False
            if not inherits:
                wrong |= now.settings != record.settings
            if wrong:
                self.complain(f"{what}, though its original is {record}")


def _reports_removal(policy: PolicyObject) -> bool:
    ready = find(policy.status.conditions, "Ready")
    return ready is not None and ready.reason in {"OrganizationNotFound", "NotGranted"}


def _is_blank(policy: PolicyObject | None) -> bool:
    if policy is None:
        return False
    return policy.original is None and policy.status.original is None


def _undoes(policy: PolicyObject) -> bool:
    ending = policy.deletion or ("Reset" if policy.organization else "Retain")
    return ending != "Retain"


def _time() -> float:
    return asyncio.get_running_loop().time()
