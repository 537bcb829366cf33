"""Judges what a process does, while it does it: writes, marks, and endings."""

import asyncio
import re
from dataclasses import replace
from typing import Any

from support.world_model import Model, Target, holds_finalizer, mark_of
from support.world_zitadel import WorldZitadel
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.original import OriginalValue

LIST_LIFE = 61.5
"""Seconds for which a list of organizations may vouch for one, and a call's time."""

CALLS = 30.0
"""Seconds between a pass's look at who owns the target and its mark, at most."""

_PASS = re.compile(r"namespace='([^']*)', name='([^']*)'")


class Judge:
    """Keeps its own records of what was first seen; complains about the rest."""

    def __init__(self, world: Any, model: Model) -> None:
        self._world, self._model = world, model
        self.complaints: list[str] = []
        self._records: dict[tuple[str, Target], OriginalValue] = {}
        self._left: dict[Target, dict[str, OriginalValue]] = {}
        self._met: set[tuple[str, str, Target]] = set()
        self._seen: dict[tuple[PolicyKey, Target], OriginalValue] = {}
        self._stripped: set[str] = set()
        self._since: dict[tuple[PolicyKey, Target], float] = {}

    def complain(self, what: str) -> None:
        """Keep a complaint, with its time."""
        self.complaints.append(f"{_time():.2f}: {what}")

    def restarted(self) -> None:
        """Forget what only a process's memory could know."""
        self._met.clear()

    # Writes to ZITADEL.

    def call(self, zitadel: WorldZitadel, name: str, args: Any, kwargs: Any) -> None:
        """Judge a write that is sent now."""
        key, org = current_policy(), args[0]
        target = (zitadel.id, org)
        what = f"{key}: {name}{args}{kwargs.get('password_change', '')} at {target}"
        if zitadel.under_way[org or ""]:
            self.complain(f"two writes at once: {what}")
        versions = [v for v in self._model.versions(key) if v is not None]
        versions += self._gone_lately(key)
        value = kwargs.get("password_change")
        whys = []
        for version in versions:
            why = self._why_not(version, target, name, value)
            if not why:
                break
            whys.append(why)
        else:
            self.complain(f"nobody asked for it: {what}: {'; '.join(whys)}")
        removed_at = zitadel.removed_at.get(org or "")
        # Known defect: a suspended one forgets what it knew of its organization.
        forgets = any(v.suspended for v in versions) and not self._world.strict
        if removed_at and _time() - removed_at > LIST_LIFE and not forgets:
            self.complain(f"a write to a removed organization: {what}")

    def _gone_lately(self, key: PolicyKey | None) -> list[PolicyObject]:
        """Return what is gone, but an event on its way may bring back to life.

        Known defect, harmless: a deletion that has ended may be repeated by an event
        that was sent before (`test_engine_originals`).
        """
        if self._world.strict:
            return []
        return [
            version
            for moment, version in self._world.cluster.gone.values()
            if version.key == key
            and _time() - moment < 2 * self._world.cluster.watch_lag + 0.1
        ]

    def _why_not(
        self, policy: PolicyObject, target: Target, name: str, value: bool | None
    ) -> str:
        """Return why this version of the policy does not want this write."""
        if not self._model.may_hold(policy, target):
            return "it may not manage that"
        if policy.deleting:
            return self._why_no_undoing(policy, target, name, value)
        if name == "reset":
            return "it is not being deleted"
        if policy.suspended:
            return "it is suspended"
        if policy.password_change is not value:
            return f"it wants {policy.password_change}"
        older = self._model.older(policy, target)
        return f"{older} owns it" if older else ""

    def _why_no_undoing(
        self, policy: PolicyObject, target: Target, name: str, value: bool | None
    ) -> str:
        rivals = [rival.key for rival in self._model.rivals(policy, target)]
        # Known defect: one that came after the pass looked for it is not respected.
        heirs = [k for k in rivals if self._has_long_claimed(k, target)]
        if heirs:
            return f"{heirs} takes over"
        record = self._records.get((policy.uid, target))
        if record is None:
            # The object may be gone, and nobody have told.
            record = self._left.get(target, {}).get(policy.uid)
        if record is None:
            return "it has never owned that"
        ending = policy.deletion or ("Reset" if target[1] else "Retain")
        if ending == "Reset":
            return "" if name == "reset" and target[1] else "it is to be reset"
        if ending == "Restore":
            if target[1] and record.is_default:
                return "" if name == "reset" else "it inherited at first"
            fits = name == "write" and value is record.password_change
            return "" if fits else f"it was {record} at first"
        return f"its deletionPolicy is {ending}"

    def saw(self, target: Target, value: OriginalValue) -> None:
        """Note what a pass has observed."""
        key = current_policy()
        if key is not None:
            self._seen[key, target] = value

    # Marks.

    def mark(self, policy: PolicyObject, text: str, finalizer: bool) -> None:
        """Judge an original that is sent now."""
        self.meet()
        found = mark_of(replace(policy, original_text=text))
        if found is None:
            self.complain(f"{policy.key}: a mark of another object: {text}")
            return
        target, value = found
        versions = [v for v in self._model.versions(policy.key) if v is not None]
        versions = [v for v in versions if v.uid == policy.uid] or [policy]
        if not any(self._model.may_hold(v, target) for v in versions):
            self.complain(f"{policy.key}: a mark of what it may not manage: {text}")
        for version in versions:
            older = self._long_older(version, target)
            if not older:
                break
        else:
            self.complain(f"{policy.key}: a mark of what {older} owns: {text}")
        if finalizer and not any(_undoes(v) for v in versions):
            self.complain(f"{policy.key}: a finalizer that nothing asks for")
        allowed = self._first_seen(policy, target)
        if value not in allowed:
            self.complain(f"{policy.key}: recorded {value} of {target}, not {allowed}")
        self._stripped.discard(policy.uid)
        self._met = {m for m in self._met if (m[0], m[2]) != (policy.uid, target)}

    def _long_older(self, policy: PolicyObject, target: Target) -> list[PolicyKey]:
        """Return who has owned the target for long.

        Known defect, harmless: a pass that loses its claim while it looks at ZITADEL
        still makes its mark, and takes it off in the next.
        """
        older = self._model.older(policy, target)
        return [key for key in older if self._has_long_claimed(key, target)]

    def _has_long_claimed(self, key: PolicyKey, target: Target) -> bool:
        if self._world.strict:
            return True
        return _time() - self._since.get((key, target), _time()) > CALLS

    def _first_seen(self, policy: PolicyObject, target: Target) -> list[OriginalValue]:
        """Return the values that may be recorded."""
        own = self._records.get((policy.uid, target))
        if own is not None:
            return [own]
        strong, weak = [], []
        for (uid, where), value in self._records.items():
            if where != target or uid == policy.uid:
                continue
            weak.append(value)
            holder = self._world.by_uid(uid)
            met = (policy.uid, uid, target) in self._met
            if met or (holder is not None and self._holds_still(holder, target)):
                strong.append(value)
        for uid, value in self._left.get(target, {}).items():
            weak.append(value)
            if (policy.uid, uid, target) in self._met:
                strong.append(value)
        seen = self._seen.get((policy.key, target))
        return strong or ([*weak, seen] if seen else weak)

    def _holds_still(self, holder: PolicyObject, target: Target) -> bool:
        versions = self._model.versions(holder.key)
        return mark_of(holder) is not None and all(
            v is not None and v.uid == holder.uid and self._model.holds(v, target)
            for v in versions
        )

    def noted(self, key: PolicyKey, stored: PolicyObject | None) -> None:
        """Take each version that is stored: records come and go with their marks."""
        found = mark_of(stored) if stored is not None else None
        if stored is not None and found is not None:
            self._records.setdefault((stored.uid, found[0]), found[1])
        for uid, target in list(self._records):
            policy = self._world.by_uid(uid)
            if policy is None:
                value = self._records.pop((uid, target))
                self._left.setdefault(target, {})[uid] = value
                continue
            mark = mark_of(policy)
            kept = policy.status.original is not None or (mark and mark[0] == target)
            moved = mark is not None and mark[0] != target
            if uid == (stored and stored.uid) and (moved or not kept):
                value = self._records.pop((uid, target))
                self._left.setdefault(target, {})[uid] = value
                if uid not in self._stripped:
                    # Somebody took it off by hand: nobody need know it any longer.
                    self._met = {m for m in self._met if m[1:] != (uid, target)}

    def meet(self) -> None:
        """Note who claims a target, and who does beside one that has its original."""
        for target in {where for _, where in self._records}:
            for key in self._world.cluster.policies:
                if self._model.claims(key, target):
                    self._since.setdefault((key, target), _time())
                else:
                    self._since.pop((key, target), None)
        for (uid, target), _ in list(self._records.items()):
            holder = self._world.by_uid(uid)
            if holder is None or not self._model.claims(holder.key, target):
                continue
            if self._model.older(holder, target):
                continue
            for rival in self._model.rivals(holder, target):
                self._met.add((rival.uid, uid, target))
        self._met = {met for met in self._met if self._claims_still(met)}

    def _claims_still(self, met: tuple[str, str, Target]) -> bool:
        heir = self._world.by_uid(met[0])
        return heir is not None and self._model.claims(heir.key, met[2]) is not None

    def strip(self, policy: PolicyObject, finalizer: bool, original: bool) -> None:
        """Judge that marks are taken off."""
        versions = self._model.versions(policy.key)
        stored = versions[-1]
        if stored is None or stored.uid != policy.uid:
            return
        if original:
            self._stripped.add(policy.uid)
        found = mark_of(stored)
        target = found[0] if found else None
        if target is None or (policy.uid, target) not in self._records:
            return
        if original:
            self._require_gift(policy, stored, target)
        if not self._holds_still(stored, target):
            return
        if all(v.deleting for v in versions if v) and finalizer:
            self._ended(stored, target)
            return
        owns = not any(self._may_be_older(stored, target))
        alive = not any(v.deleting for v in versions if v)
        if not (owns and alive):
            return
        if original:
            self.complain(f"{policy.key}: the owner loses its original")
        if finalizer and all(_undoes(v) for v in versions if v):
            self.complain(f"{policy.key}: the owner loses its finalizer")

    def _require_gift(
        self, policy: PolicyObject, stored: PolicyObject, target: Target
    ) -> None:
        """Complain where an heir does not get the original first."""
        heirs = sorted(
            (r.created, r.key, r.uid) for r in self._model.rivals(stored, target)
        )
        if heirs and (heirs[0][2], target) not in self._records:
            # Known defect: who turns to Observe, or is deleted without our finalizer,
            # does not give it to the heir first.
            gives = stored.manages and (holds_finalizer(stored) or not stored.deleting)
            gives |= self._world.strict
            if gives and self._has_long_claimed(heirs[0][1], target):
                self.complain(f"{policy.key}: {heirs[0][1]} does not get the original")

    def _may_be_older(self, policy: PolicyObject, target: Target) -> list[bool]:
        mine = (policy.created, policy.key)
        return [
            (other.created, other.key) < mine
            for key, other in list(self._world.cluster.policies.items())
            if key != policy.key and self._model.may_claim(key, target)
        ]

    def _ended(self, policy: PolicyObject, target: Target) -> None:
        """Judge what ZITADEL holds when an owner goes."""
        heirs = any(
            self._model.may_claim(key, target)
            for key in list(self._world.cluster.policies)
            if key != policy.key
        )
        heirs |= any(
            uid != policy.uid and where == target and self._world.by_uid(uid)
            for uid, where in self._records
        )
        versions = [v for v in self._model.versions(policy.key) if v is not None]
        endings = {v.deletion or ("Reset" if target[1] else "Retain") for v in versions}
        if heirs or len(endings) != 1 or not holds_finalizer(policy):
            return
        zitadel, org = self._model.zitadel(target[0]), target[1]
        changed = zitadel.foreign.get(org or "", -10.0)
        if org in zitadel.removed or _time() - changed < CALLS:
            return
        now, record = zitadel.value(org), self._records[policy.uid, target]
        what = f"{policy.key}: goes and leaves {now} in {target}"
        if endings == {"Reset"} and org and not now.is_default:
            self.complain(f"{what}, though it is to be reset")
        if endings == {"Restore"}:
            inherits = bool(org) and record.is_default
            wrong = now.is_default is not inherits if org else False
            if not inherits:
                wrong |= now.password_change is not record.password_change
            if wrong:
                self.complain(f"{what}, though it was {record} at first")


def current_policy() -> PolicyKey | None:
    """Return whose pass is running: the engine names its tasks after them."""
    task = asyncio.current_task()
    name = task.get_name() if task else ""
    found = _PASS.search(name)
    if found is None or "NotificationPolicy" not in name:
        return None
    return PolicyKey(found[1], found[2])


def _undoes(policy: PolicyObject) -> bool:
    ending = policy.deletion or ("Reset" if policy.organization else "Retain")
    return ending != "Retain"


def _time() -> float:
    return asyncio.get_running_loop().time()
