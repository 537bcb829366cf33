"""The manifests that `znp plan` is given; read before there is an event loop.

Until then a signal ends the process, also while standard input blocks.
"""

import io
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from zitadel_notification_operator.cluster.resources import UnusableObject, parse
from zitadel_notification_operator.manifests.errors import ManifestError
from zitadel_notification_operator.manifests.reading import Manifests, read_manifests
from zitadel_notification_operator.manifests.sources import STDIN, read_text
from zitadel_notification_operator.planning.applying import (
    New,
    says_suspend,
    with_metadata,
)


def read(sources: Sequence[str], *, recursive: bool) -> Manifests:
    """Return the objects of all manifests, and say what was skipped.

    Args:
        sources: Files, folders or `-`.
        recursive: Whether folders in folders are read, too.

    Raises:
        click.ClickException: Something cannot be read, or an input is empty: whatever
            should have written it has failed.
    """
    if not sources:
        return Manifests((), 0)
    try:
        text = read_text(STDIN, sys.stdin).text if STDIN in sources else ""
        stdin = io.StringIO(text)
        for source in sources:
            _require_content(source, stdin)
        manifests = read_manifests(sources, recursive=recursive, stdin=stdin)
    except ManifestError as error:
        raise click.ClickException(str(error)) from error
    if manifests.skipped:
        many = manifests.skipped > 1
        what = "objects of other kinds" if many else "object of another kind"
        click.echo(f"Skipped {manifests.skipped} {what}", err=True)
    return manifests


def _require_content(source: str, stdin: io.StringIO) -> None:
    if source == STDIN:
        is_empty = not stdin.getvalue().strip()
    else:
        path = Path(source)
        is_empty = path.is_file() and not path.stat().st_size
    if is_empty:
        where = "Standard input" if source == STDIN else source
        raise click.ClickException(
            f"{where} is empty, so there is nothing to plan; has the command failed "
            "that should have written it?"
        )


def records_of(manifests: Manifests, namespace: str) -> list[New]:
    """Return what the manifests would make.

    Args:
        manifests: The manifests.
        namespace: The namespace of objects that name none.

    Raises:
        click.ClickException: An object has no usable name.
    """
    now, found = datetime.now(UTC), []
    for number, (kind, body) in enumerate(manifests.objects):
        try:
            record = parse(kind, with_metadata(kind, body, namespace, number, now))
        except UnusableObject as error:
            raise click.ClickException(f"A manifest of {kind}: {error}") from error
        found.append(New(record, says_suspend(body)))
    return found
