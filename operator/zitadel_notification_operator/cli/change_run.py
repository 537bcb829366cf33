"""Writes what a person asks for to objects, and waits for the operator's answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import click

from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.inspection import (
    Absent,
    Stored,
    list_objects,
    read_object,
)
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.kinds import POLICY, SET
from zitadel_notification_operator.core.objects import OwnObject

from .change_kinds import Change
from .change_rules import gitops_writer
from .changes import ChangeOptions
from .judgement import title
from .waiting import poll, spoken

CONCURRENT = 8
"""How many objects are written, or waited for, at once."""


@dataclass(frozen=True, slots=True)
class ChangeRun:
    """One run of a command.

    Args:
        options: Which objects, and how long to wait.
        change: What to do to each.
    """

    options: ChangeOptions
    change: Change

    async def run(self) -> int:
        """Do it to all objects; return how many it could not be done to.

        Raises:
            NoCluster: There is no way into a cluster.
            OperatorError: The objects cannot be listed; the text says what to do.
            click.ClickException: There is nothing to do it to.
        """
        cluster = self.options.cluster
        namespace = cluster.effective_namespace()
        api = (await connect(cluster.kubeconfig, context=cluster.context)).api
        try:
            if self.options.named:
                outcomes = await self._named(api, namespace)
            else:
                outcomes = await self._selected(api, namespace)
        finally:
            await api.close()
        return outcomes.count(False)

    async def _named(self, api: ApiClient, namespace: str) -> list[bool]:
        async def do(number: int) -> bool:
            named = self.options.named[number]
            try:
                stored = await read_object(api, named.kind, named.key(namespace))
            except ClusterError as error:
                return _fail(str(named), error.message)
            return await self._apply(api, stored)

        return await _each(do, len(self.options.named))

    async def _selected(self, api: ApiClient, namespace: str) -> list[bool]:
        selector = self.options.cluster.selector
        found: list[Stored] = []
        for kind in (SET, POLICY):
            found += await list_objects(api, kind, namespace, selector)
        if not found:
            raise click.ClickException("There are no such policies and sets")
        chosen = self._without_members(found)

        async def do(number: int) -> bool:
            return await self._apply(api, chosen[number])

        return await _each(do, len(chosen))

    def _without_members(self, found: Sequence[Stored]) -> list[Stored]:
        """Leave out policies that follow a set which is chosen itself."""
        if not self.change.reaches_members:
            return list(found)
        sets = {one.record.uid for one in found if one.record.kind is SET}
        return [
            one for one in found if getattr(one.record, "set_uid", None) not in sets
        ]

    async def _apply(self, api: ApiClient, stored: Stored) -> bool:
        """Do it to one object, and say what became of it; return whether it is done."""
        one: OwnObject = stored.record
        obstacle = self.change.obstacle(stored)
        if obstacle:
            return _fail(title(one), obstacle)
        was_written = not self.change.is_done(one)
        try:
            if was_written:
                one = (await self.change.write(api, one)).record
            answered, last = await self._wait(api, one)
        except ClusterError as error:
            return _fail(title(one), error.message)
        if last is None:
            click.echo(f"{_named(one)} is gone: its deletion has ended")
            return True
        writer = gitops_writer(stored.body) if was_written else ""
        if writer and self.change.reaches_members:
            click.echo(
                f"Warning: {writer} owns fields of {title(one)}, and may put this "
                "back; change it in Git",
                err=True,
            )
        if self.options.seconds is not None and not answered:
            return _fail(title(one), _unanswered(last, self.options.seconds))
        words = self.change.describe(last, was_written=was_written, answered=answered)
        click.echo(f"{_named(one)} {words}")
        return True

    async def _wait(
        self, api: ApiClient, one: OwnObject
    ) -> tuple[bool, OwnObject | None]:
        """Return whether there is an answer, and the object; None if it is gone."""
        if self.options.seconds is None:
            return False, one

        async def read() -> OwnObject | None:
            try:
                found = (await read_object(api, one.kind, one.key)).record
            except Absent:
                return None
            # Another object has its name: the one that was meant is gone.
            same: OwnObject | None = found if found.uid == one.uid else None
            return same

        def is_done(found: OwnObject | None) -> bool:
            return found is None or self.change.is_answered(found)

        last, answered = await poll(read, is_done, self.options.seconds)
        return answered, last


async def _each(do: Callable[[int], Awaitable[bool]], count: int) -> list[bool]:
    """Do something for each number below `count`, a few at a time."""
    turns = asyncio.Semaphore(CONCURRENT)

    async def one(number: int) -> bool:
        async with turns:
            return await do(number)

    return list(await asyncio.gather(*map(one, range(count))))


def _named(one: OwnObject) -> str:
    where = f" in {one.key.namespace}" if one.key.namespace else ""
    return title(one) + where


def _unanswered(one: OwnObject, seconds: float) -> str:
    seen = "" if one.status.conditions else ", and never has reported about this object"
    return (
        f"it was written, but the operator has not answered within {spoken(seconds)}"
        f"{seen}: look whether it runs and watches this namespace "
        "(docs/operations/troubleshooting.md), or wait longer with --timeout"
    )


def _fail(name: str, why: str) -> bool:
    click.echo(f"Error: {name}: {why}", err=True)
    return False
