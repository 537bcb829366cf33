"""The command `zitadel-emulator`, also as `python -m zitadel_emulator`."""

from .signals import exit_at_once


def main() -> None:
    """Listen for signals, then read the command line and serve until a signal."""
    exit_at_once()
    import click

    from .command import new_command

    add_version = click.version_option(package_name="zitadel-emulator")
    add_version(new_command())(prog_name="zitadel-emulator")


if __name__ == "__main__":
    main()
