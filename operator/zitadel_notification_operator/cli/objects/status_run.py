"""What `znp status` does: waits if it is asked to, reads, and prints."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from zitadel_notification_operator.cli.connecting.cluster_options import ClusterOptions
from zitadel_notification_operator.cli.connecting.zitadel_options import ZitadelOptions
from zitadel_notification_operator.cli.options.waiting import poll, spoken
from zitadel_notification_operator.cli.process.program import called_as
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.inspection import Stored
from zitadel_notification_operator.core.object_names import Named
from zitadel_notification_operator.core.objects import OwnObject

from .judgement import is_ready, is_suspended, mends, title, why_not_ready
from .ladder import to_json
from .ladder_text import to_text
from .objects_table import table_json, table_text
from .status_read import StatusReader

MOST_NAMED = 3
"""How many objects a sentence names."""


@dataclass(frozen=True, slots=True)
class StatusRun:
    """One run of the command.

    Args:
        cluster: Which cluster, and which objects.
        zitadel: How ZITADEL is reached.
        is_json: Whether to print JSON.
        seconds: How long to wait for Ready at most; None not to wait.
    """

    cluster: ClusterOptions
    zitadel: ZitadelOptions
    is_json: bool
    seconds: float | None

    async def one(self, named: Named) -> bool:
        """Print one object; return whether it is Ready.

        Raises:
            NoCluster: There is no way into a cluster.
            OperatorError: The object cannot be read; the text says what to do.
            click.ClickException: It did not become Ready in time.
        """
        namespace = self.cluster.effective_namespace()
        async with self._reader() as reader:

            async def read() -> list[Stored]:
                return [await reader.object(named, namespace)]

            (stored,) = found = await self._wait(read)
            ladder = await reader.ladder(stored)
        if self.is_json:
            _print_json(to_json(ladder))
        else:
            click.echo(to_text(ladder, datetime.now(UTC)))
        return self._conclude([one.record for one in found])

    async def table(self) -> bool:
        """Print all objects that are chosen; return whether all of them are Ready.

        Raises:
            NoCluster: There is no way into a cluster.
            OperatorError: Nothing can be read; the text says what to do.
            click.ClickException: Not all became Ready in time.
        """
        namespace = self.cluster.effective_namespace()
        async with self._reader() as reader:

            async def read() -> list[Stored]:
                return await reader.objects(namespace)

            objects = [one.record for one in await self._wait(read)]
            not_shown = reader.not_shown
        if self.is_json:
            _print_json(table_json(objects, not_shown))
        else:
            now = datetime.now(UTC)
            click.echo(table_text(objects, now, namespaces=not namespace))
            for part in not_shown:
                click.echo(f"Left out {part.part}: {part.why}", err=True)
        return self._conclude(objects)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[StatusReader]:
        cluster = self.cluster
        api = (await connect(cluster.kubeconfig, context=cluster.context)).api
        try:
            yield StatusReader(api, cluster, self.zitadel)
        finally:
            await api.close()

    async def _wait(self, read: Any) -> list[Stored]:
        """Return what was read, as soon as waiting ends, if there is any."""

        def is_done(found: list[Stored]) -> bool:
            records = [one.record for one in found]
            return all(map(is_ready, records)) or any(map(_is_hopeless, records))

        if self.seconds is None:
            found: list[Stored] = await read()
        else:
            found, _ = await poll(read, is_done, self.seconds)
        return found

    def _conclude(self, objects: Sequence[OwnObject]) -> bool:
        """Return whether all are Ready.

        Raises:
            click.ClickException: It was waited for, in vain.
        """
        unready = [one for one in objects if not is_ready(one)]
        if self.seconds is None:
            return not unready
        if not objects:
            raise click.ClickException("There are no objects to wait for")
        hopeless = [one for one in objects if _is_hopeless(one)]
        if hopeless:
            raise click.ClickException("; ".join(map(_why_hopeless, hopeless[:1])))
        if unready:
            raise click.ClickException(_describe(unready, self.seconds))
        return True


def _is_hopeless(one: OwnObject) -> bool:
    """Return whether an object does not become Ready by waiting."""
    return one.deleting or is_suspended(one)


def _why_hopeless(one: OwnObject) -> str:
    if one.deleting:
        return f"{title(one)} is being deleted, so it does not become Ready"
    return (
        f"{title(one)} is suspended, so nothing happens to it: "
        f"{called_as()} resume {title(one)}{_inside(one)}"
    )


def _inside(one: OwnObject) -> str:
    return f" -n {one.key.namespace}" if one.key.namespace else ""


def _describe(unready: Sequence[OwnObject], seconds: float) -> str:
    """Say what is not Ready, why, and what mends it."""
    lines = [f"Not Ready within {spoken(seconds)}:"]
    for one in unready[:MOST_NAMED]:
        mend = " ".join(mends(one).values())
        lines.append(f"  {title(one)}{_inside(one)}: {why_not_ready(one)}. {mend}")
    if len(unready) > MOST_NAMED:
        lines.append(f"  and {len(unready) - MOST_NAMED} more")
    return "\n".join(lines)


def _print_json(found: dict[str, Any]) -> None:
    # Other characters than ASCII are escaped: some of them control a terminal.
    click.echo(json.dumps(found, indent=2))
