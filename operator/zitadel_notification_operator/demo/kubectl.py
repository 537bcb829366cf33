"""Runs kubectl and keeps what it prints."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_kubectl(
    program: Path,
    kubeconfig: Path,
    arguments: Sequence[str],
    *,
    stdin: str | None = None,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run kubectl and wait for its end.

    Args:
        program: The kubectl to use.
        kubeconfig: The cluster, and who asks.
        arguments: The command, such as `get`, `znp`.
        stdin: What it reads there; None is an empty input.
        check: Whether a failure raises.
        environment: What is to differ from ours.

    Raises:
        CalledProcessError: It failed and `check` is true; what it said is a note.
    """
    done = subprocess.run(  # noqa: S603 - our own program
        [str(program), *arguments],
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), **(environment or {})},
    )
    if check and done.returncode:
        error = subprocess.CalledProcessError(
            done.returncode, done.args, done.stdout, done.stderr
        )
        error.add_note(done.stderr)
        raise error
    return done
