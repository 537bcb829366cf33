"""The command as a child of the program that started it: it ends with its parent.

`python -m zitadel_emulator.attended` is the command `zitadel-emulator`, except that it
also ends when its standard input does. So a test run that is killed leaves nothing.
"""

import os
import signal
import sys
import threading

from .signals import block, exit_at_once


def main() -> None:
    """Serve until standard input ends, or until SIGTERM or SIGINT."""
    exit_at_once()
    threading.Thread(target=_end_with_input, daemon=True).start()
    from .command import new_command

    new_command()(prog_name="zitadel-emulator")


def _end_with_input() -> None:
    block()
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
