"""Writes what a person asks for to objects, and waits for the operator's answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import click

from zitadel_notification_operator.cli.options.waiting import poll, spoken
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
from zitadel_notification_operator.core.object_names import Named
from zitadel_notification_operator.core.objects import OwnObject

from .change_kinds import Change
from .change_rules import gitops_writer
from .changes import ChangeOptions
from .judgement import title

T = TypeVar("T")
R = TypeVar("R")

CONCURRENT = 8
"""How many objects are written, or waited for, at once."""


@dataclass(frozen=True, slots=True)
class Written:
    """An object to which a change was made.

    Attributes:
        one: The object after it, as it was stored.
        was_written: Whether anything had to be written.
    """

    one: OwnObject
    was_written: bool


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

        All are written before any is waited for, so that the time is one for all.

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
                found = await self._named(api, namespace)
            else:
                found = await self._selected(api, namespace)
            written = await _each(lambda one: self._write(api, one), found)
            deadline = time.monotonic() + (self.options.seconds or 0.0)
            answers = await _each(
                lambda one: self._conclude(api, one, deadline), written
            )
        finally:
            await api.close()
        return answers.count(False)

    async def _named(self, api: ApiClient, namespace: str) -> list[Stored | None]:
        async def read(named: Named) -> Stored | None:
            try:
                return await read_object(api, named.kind, named.key(namespace))
            except ClusterError as error:
                _fail(str(named), error.message)
                return None

        return await _each(read, self.options.named)

    async def _selected(self, api: ApiClient, namespace: str) -> list[Stored | None]:
        selector = self.options.cluster.selector
        found: list[Stored] = []
        for kind in (SET, POLICY):
            found += await list_objects(api, kind, namespace, selector)
        if not found:
            raise click.ClickException("There are no such policies and sets")
        # A policy follows its set, if that is chosen, too.
        sets = {one.record.uid for one in found if one.record.kind is SET}
        if not self.change.reaches_members:
            sets = set()
        return [
            one for one in found if getattr(one.record, "set_uid", None) not in sets
        ]

    async def _write(self, api: ApiClient, stored: Stored | None) -> Written | None:
        """Do it to one object; return None, and say why, if it cannot be done."""
        if stored is None:
            return None
        one: OwnObject = stored.record
        obstacle = self.change.obstacle(stored)
        if obstacle:
            _fail(title(one), obstacle)
            return None
        if self.change.is_done(one):
            return Written(one, was_written=False)
        try:
            one = (await self.change.write(api, one)).record
        except ClusterError as error:
            _fail(title(one), error.message)
            return None
        writer = gitops_writer(stored.body) if self.change.is_of_spec else ""
        if writer:
            click.echo(
                f"Warning: {writer} owns fields of {title(one)}, and may put this "
                "back; change it in Git",
                err=True,
            )
        return Written(one, was_written=True)

    async def _conclude(
        self, api: ApiClient, written: Written | None, deadline: float
    ) -> bool:
        """Wait for the answer, and say what became of one object."""
        if written is None:
            return False
        one, last, answered = written.one, written.one, False
        if self.options.seconds is not None:
            left = max(deadline - time.monotonic(), 0.0)
            try:
                last, answered = await self._wait(api, one, left)
            except Absent:
                click.echo(f"{_named(one)} is gone: its deletion has ended")
                return True
            except ClusterError as error:
                _fail(title(one), error.message)
                return False
            if not answered:
                _fail(title(one), _unanswered(last, self.options.seconds))
                return False
        words = self.change.describe(
            last, was_written=written.was_written, answered=answered
        )
        click.echo(f"{_named(one)} {words}")
        return True

    async def _wait(
        self, api: ApiClient, one: OwnObject, seconds: float
    ) -> tuple[OwnObject, bool]:
        """Return the object, and whether its status shows the answer.

        Raises:
            Absent: It is gone.
            ClusterError: Kubernetes did not answer.
        """

        async def read() -> OwnObject:
            found: OwnObject = (await read_object(api, one.kind, one.key)).record
            if found.uid != one.uid:
                raise Absent(f"Another object has the name {one.key} by now")
            return found

        return await poll(read, self.change.is_answered, seconds)


async def _each(do: Callable[[T], Awaitable[R]], arguments: Sequence[T]) -> list[R]:
    """Do something for each argument, a few at a time; return the results in order."""
    turns = asyncio.Semaphore(CONCURRENT)

    async def one(argument: T) -> R:
        async with turns:
            return await do(argument)

    return list(await asyncio.gather(*map(one, arguments)))


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


def _fail(name: str, why: str) -> None:
    click.echo(f"Error: {name}: {why}", err=True)
