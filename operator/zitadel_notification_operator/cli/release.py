"""`znp release`: removes the operator's marks when no operator will ever do it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zitadel_notification_operator.cli.commands import (
    kubeconfig_option,
    option,
    pass_signals,
)
from zitadel_notification_operator.cli.run import own_namespace
from zitadel_notification_operator.cli.signals import INTERRUPTED, Signals
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.release import (
    WARNING,
    Marked,
    describe_running,
    is_name,
    parse_policy_name,
    summarize,
)

if TYPE_CHECKING:
    from zitadel_notification_operator.cluster.connection import ClusterAccess
    from zitadel_notification_operator.cluster.release import Release


def _keys(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[PolicyKey, ...]:
    try:
        return tuple(dict.fromkeys(parse_policy_name(text) for text in texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _names(
    _context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    for name in names:
        if not is_name(name):
            raise click.BadParameter(f"{name!r} is not the name of a ZitadelInstance")
    return tuple(dict.fromkeys(names))


@click.command(
    name="release",
    help="Take the operator's finalizer and its record of the original setting off "
    "objects, after the operator was uninstalled before they were deleted. Nothing "
    "is changed in ZITADEL: what is left behind there is told of each object. "
    "Exit code 0 when all that was named is released, or had nothing.",
)
@click.argument("policies", nargs=-1, metavar="[NAMESPACE/NAME]...", callback=_keys)
@option(
    "--instance",
    "instances",
    multiple=True,
    callback=_names,
    metavar="NAME",
    help="A ZitadelInstance; repeat for more, or separate by blanks in the variable.",
)
@option(
    "--all",
    "everything",
    is_flag=True,
    help="All objects of both kinds, in all namespaces.",
)
@option(
    "--dry-run",
    is_flag=True,
    help="Say what would be done, and write nothing.",
)
@option(
    "--force",
    is_flag=True,
    help="Do it also while an operator holds its Lease.",
)
@option(
    "--namespace",
    default=own_namespace,
    help="The operator's own namespace, where its Lease is looked for. Default: the "
    "service account's, else zitadel-notification-operator.",
)
@kubeconfig_option
@pass_signals
def command(
    signals: Signals,
    /,
    policies: tuple[PolicyKey, ...],
    instances: tuple[str, ...],
    namespace: str,
    kubeconfig: Path | None,
    **options: bool,
) -> None:
    """Check the arguments, then release the objects."""
    named = bool(policies or instances)
    if named and options["everything"]:
        raise click.UsageError("Name objects or say --all, not both")
    if not (named or options["everything"]):
        raise click.UsageError(
            "Name what to release: NAMESPACE/NAME, --instance NAME, or --all"
        )
    from zitadel_notification_operator.cluster.connection import NoCluster

    run = _Run(policies, instances, dry_run=options["dry_run"])
    check = None if options["force"] else namespace
    try:
        asyncio.run(_until_interrupted(run.run(kubeconfig, check), signals))
    except asyncio.CancelledError:
        _interrupted(run)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except NoCluster as error:
        raise click.ClickException(str(error)) from error
    except ClusterError as error:
        raise click.ClickException(error.message) from error
    told = summarize(run.released, run.nothing, run.failed, dry_run=run.dry_run)
    click.echo(told)
    if run.failed:
        raise click.exceptions.Exit(1)


async def _until_interrupted(work: Coroutine[Any, Any, None], signals: Signals) -> None:
    """Run `work`; a signal cancels it between two calls.

    Raises:
        CancelledError: It was interrupted.
    """
    task = asyncio.create_task(work)
    signals.cancel(task)
    try:
        await task
    finally:
        signals.close()


def _interrupted(run: "_Run") -> None:
    click.echo(
        f"Interrupted after {run.released} released: that stays so; for the others run "
        "it again",
        err=True,
    )


class _Run:
    """One run of the command.

    Args:
        policies: The policies that were named.
        instances: The instances that were named. If nothing was named, everything is
            released.
        dry_run: Whether to write nothing.
    """

    def __init__(
        self,
        policies: tuple[PolicyKey, ...],
        instances: tuple[str, ...],
        *,
        dry_run: bool,
    ) -> None:
        self.dry_run = dry_run
        self.released = self.nothing = self.failed = 0
        self._policies = policies
        self._instances = instances

    async def run(self, kubeconfig: Path | None, namespace: str | None) -> None:
        """Find the objects and release them.

        Args:
            kubeconfig: The kubeconfig file that was asked for, or None.
            namespace: Where to look for the Lease, or None to skip that check.

        Raises:
            NoCluster: There is no way into a cluster.
            ClusterError: Nothing could be done at all; the text says why.
        """
        from zitadel_notification_operator.cluster.connection import connect
        from zitadel_notification_operator.cluster.release import Release

        access = await connect(kubeconfig)
        try:
            if namespace is not None:
                await self._check_lease(access, namespace)
            release = Release(access.api)
            async for marked in self._find(release):
                await self._release(release, marked)
        finally:
            await access.api.close()

    async def _check_lease(self, access: "ClusterAccess", namespace: str) -> None:
        from zitadel_notification_operator.cluster.lease import LEASE
        from zitadel_notification_operator.cluster.release import holder_of_lease

        lease = await holder_of_lease(access.api, namespace, _warn)
        if lease is None:
            return
        running = describe_running(lease, f"{namespace}/{LEASE}")
        if not self.dry_run:
            raise ClusterError(running)
        _warn(running)

    async def _find(self, release: "Release") -> AsyncIterator[Marked]:
        """Yield the requested objects, and report those that do not exist."""
        from zitadel_notification_operator.cluster.release import KINDS, NotServed

        reads = chain(
            (release.read_policy(key) for key in self._policies),
            (release.read_instance(name) for name in self._instances),
        )
        for read in reads:
            try:
                yield await read
            except ClusterError as error:
                self._fail(error.message)
        if self._policies or self._instances:
            return
        for plural in KINDS:
            try:
                found, unmarked = await release.list_marked(plural)
            except NotServed as error:
                click.echo(error.message)
            except ClusterError as error:
                self._fail(error.message)
            else:
                self.nothing += unmarked
                for marked in found:
                    yield marked

    async def _release(self, release: "Release", marked: Marked) -> None:
        done: Marked | None = marked
        if marked.is_marked and not self.dry_run:
            try:
                done = await release.strip(marked)
            except ClusterError as error:
                self._fail(f"{marked.title}: not released: {error.message}")
                return
        if done is None:
            self.nothing += 1
            click.echo(f"{marked.title}: it was gone already")
        else:
            self.released += done.is_marked
            self.nothing += not done.is_marked
            click.echo(done.describe_release(dry_run=self.dry_run))
            if done.is_marked and not done.deleting:
                _warn(f"{done.title}: {WARNING}")
        for sentence in marked.left:
            click.echo(f"  {sentence}")

    def _fail(self, sentence: str) -> None:
        self.failed += 1
        click.echo(f"Error: {sentence}", err=True)


def _warn(sentence: str) -> None:
    click.echo(f"Warning: {sentence}", err=True)
