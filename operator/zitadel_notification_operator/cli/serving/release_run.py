"""What `znp release` does with a cluster, and what it says of each object."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import click

from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.release import (
    NotServed,
    classes_of_instances,
    holder_of_lease,
    read_all,
    read_one,
    strip,
)
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.kinds import KINDS, Kind, ObjectKey
from zitadel_notification_operator.core.lease import name_of_lease
from zitadel_notification_operator.core.release import WARNING, Marked, describe_running
from zitadel_notification_operator.core.text import one_line


class Run:
    """One run of the command.

    Args:
        named: The objects that were named, by kind. If nothing was named, everything
            is released.
        operator_class: The class of the operator whose objects these are.
        dry_run: Whether to write nothing.
    """

    def __init__(
        self,
        named: Mapping[Kind, tuple[ObjectKey, ...]],
        operator_class: str,
        *,
        dry_run: bool,
    ) -> None:
        self.released = self.nothing = self.failed = 0
        self._named = [(kind, key) for kind, keys in named.items() for key in keys]
        self._class = operator_class
        self._classes: Mapping[str, str] = {}
        self._dry_run = dry_run

    async def run(self, kubeconfig: Path | None, namespace: str | None) -> None:
        """Find the objects and release them.

        Args:
            kubeconfig: The kubeconfig file that was asked for, or None.
            namespace: Where to look for the Lease, or None to skip that check.

        Raises:
            NoCluster: There is no way into a cluster.
            ClusterError: Nothing could be done at all; the text says why.
        """
        api = (await connect(kubeconfig)).api
        try:
            if namespace is not None:
                await self._check_lease(api, namespace)
            self._classes = await classes_of_instances(api, _warn)
            async for marked in self._find(api):
                await self._release(api, marked)
        finally:
            await api.close()

    async def _check_lease(self, api: ApiClient, namespace: str) -> None:
        name = name_of_lease(self._class)
        lease = await holder_of_lease(api, namespace, name, _warn)
        if lease is None:
            return
        running = describe_running(lease, f"{namespace}/{name}")
        if not self._dry_run:
            raise ClusterError(running)
        _warn(running)

    async def _find(self, api: ApiClient) -> AsyncIterator[Marked]:
        """Yield the requested objects, and report those that do not exist."""
        for kind, key in self._named:
            try:
                marked = await read_one(api, kind, key)
            except ClusterError as error:
                self._fail(error.message)
                continue
            if self._is_of_class(marked):
                yield marked
            else:
                self._fail(
                    f"{marked.title}: not released: it is of class "
                    f"{self._class_of(marked)!r}; say --class"
                )
        others = 0
        for kind in () if self._named else KINDS:
            for marked in await self._all_of(api, kind):
                if not self._is_of_class(marked):
                    others += 1
                elif marked.is_marked:
                    yield marked
                else:
                    self.nothing += 1
        if others:
            _warn(
                f"{others} of other classes left alone; --class releases those of one"
            )

    async def _all_of(self, api: ApiClient, kind: Kind) -> list[Marked]:
        try:
            return await read_all(api, kind)
        except NotServed as error:
            click.echo(error.message)
        except ClusterError as error:
            self._fail(error.message)
        return []

    def _class_of(self, marked: Marked) -> str:
        """Return the class of an object; without an instance it is the empty one."""
        return self._classes.get(marked.instance, "")

    def _is_of_class(self, marked: Marked) -> bool:
        return self._class_of(marked) == self._class

    async def _release(self, api: ApiClient, marked: Marked) -> None:
        done: Marked | None = marked
        if marked.is_marked and not self._dry_run:
            try:
                done = await strip(api, marked)
            except ClusterError as error:
                self._fail(f"{marked.title}: not released: {error.message}")
                return
        if done is None:
            self.nothing += 1
            click.echo(f"{marked.title}: it was gone already")
        else:
            self.released += done.is_marked
            self.nothing += not done.is_marked
            click.echo(done.describe_release(dry_run=self._dry_run))
            if done.is_marked and not done.deleting:
                _warn(f"{done.title}: {WARNING}")
        for sentence in marked.left:
            # Anybody may have written what an object says of itself.
            click.echo(f"  {one_line(sentence)}")

    def _fail(self, sentence: str) -> None:
        self.failed += 1
        click.echo(f"Error: {sentence}", err=True)


def _warn(sentence: str) -> None:
    click.echo(f"Warning: {sentence}", err=True)
