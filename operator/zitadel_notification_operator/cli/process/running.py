"""Runs a command's work until it is done or interrupted, and reports its errors."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from zitadel_notification_operator.cluster.calls import Forbidden
from zitadel_notification_operator.cluster.connection import NoCluster
from zitadel_notification_operator.cluster.inspection import RIGHTS
from zitadel_notification_operator.core.errors import OperatorError

from .signals import INTERRUPTED, Signals

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], signals: Signals) -> T:
    """Run a command's work in an event loop of its own, and return its result.

    Args:
        work: What to run. A signal cancels it between two calls.
        signals: Those of the process.

    Raises:
        click.exceptions.Exit: It was interrupted; the exit code is 130.
        click.ClickException: Kubernetes or ZITADEL cannot be used; the text says why.
    """
    try:
        return asyncio.run(until_interrupted(work, signals))
    except asyncio.CancelledError:
        click.echo("Interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except NoCluster as error:
        raise click.ClickException(str(error)) from error
    except Forbidden as error:
        # Kubernetes' own words name the verb and the kind.
        why = f"You may not do this in the cluster: {error.message}; {RIGHTS}"
        raise click.ClickException(why) from error
    except OperatorError as error:
        raise click.ClickException(error.message) from error


async def until_interrupted(work: Coroutine[Any, Any, T], signals: Signals) -> T:
    """Await `work`, which a signal cancels.

    Raises:
        CancelledError: It was interrupted.
    """
    await signals.keep_to_main_thread()
    task = asyncio.create_task(work)
    signals.cancel(task)
    try:
        return await task
    finally:
        signals.close()
