"""A function that runs kubectl and captures its output."""

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
    """Run kubectl and wait until it exits.

    Args:
        program: The path of kubectl.
        kubeconfig: The kubeconfig, which names the cluster and the user.
        arguments: The arguments, such as `get`, `znp`.
        stdin: The text for its standard input; None means no input.
        check: Whether to raise an error if it fails.
        environment: Variables to set in addition to those of this process.

    Raises:
        CalledProcessError: It failed and `check` is true. A note on the error holds
            its standard error.
    """
    done = subprocess.run(  # noqa: S603 - our own program
        [str(program), *arguments],
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
        env={
            # It runs for a moment, of which collecting garbage would be a sixth.
            "GOGC": "400",
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            **(environment or {}),
        },
    )
    if check and done.returncode:
        error = subprocess.CalledProcessError(
            done.returncode, done.args, done.stdout, done.stderr
        )
        error.add_note(done.stderr)
        raise error
    return done
