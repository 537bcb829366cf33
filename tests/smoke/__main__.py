"""`python -m smoke`: walk with the operator through a real ZITADEL."""

import subprocess
import sys
from pathlib import Path

import click

from smoke.cluster import NotReady
from smoke.walk import Walk, WalkFailed
from smoke.zitadel import CallFailed, Zitadel


@click.command()
@click.option("--url", required=True, help="ZITADEL's URL.")
@click.option(
    "--token-file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the personal access token of an IAM_OWNER.",
)
def main(url: str, token_file: Path) -> None:
    """Let an operator on this machine keep a policy of a real ZITADEL for a minute.

    It creates an organization, touches no other, and removes it in the end.
    """
    zitadel = Zitadel(url.rstrip("/"), token_file.read_text().strip())
    walk = Walk(zitadel, token_file, click.echo)
    try:
        walk.run()
    except (AssertionError, CallFailed, NotReady, WalkFailed) as error:
        click.echo(error, err=True)
        sys.exit(1)
    except subprocess.CalledProcessError as error:
        # kubectl, such as a deletion that did not end in time; a note has its output.
        click.echo("\n".join([str(error), *error.__notes__]), err=True)
        sys.exit(1)
    click.echo("Each step had the result that it must have.")


main()
