"""Runs the login program (exec plugin) that a kubeconfig names.

The protocol is that of Kubernetes' client-go credential plugins. The output of the
program may hold secrets, on stderr as well, so no part of it is ever logged or quoted.
"""

import asyncio
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zitadel_notification_operator.core.errors import ClusterError

PATIENCE = 60.0
"""Seconds that one run may take before it is killed."""

LONGEST_PAUSE = 30.0
"""The longest wait between two runs that did not help, in seconds."""

EARLY = 0.1
"""The fraction of a credential's lifetime that is left when it is replaced."""

EARLIEST = 60.0
"""The most seconds before its expiry at which a credential is replaced."""

_VERSIONS = {"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"}


class LoginFailed(ClusterError):
    """The login program supplied no credential; the text says what happened to it."""

    is_outage = True


@dataclass(frozen=True, slots=True)
class Program:
    """What a kubeconfig says under `exec`.

    Attributes:
        command: The executable.
        arguments: Its arguments.
        environment: Variables that are set in addition to those of this process; one
            of them tells the program what it is asked for.
        version: The version of the protocol.
    """

    command: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    version: str = "client.authentication.k8s.io/v1"

    @property
    def name(self) -> str:
        """The program's name for messages, without arguments: they may hold secrets."""
        return Path(self.command).name


@dataclass(frozen=True, slots=True)
class Credential:
    """What a login program supplied.

    Attributes:
        token: A bearer token; empty without one.
        certificate: A client certificate in PEM; empty without one.
        key: The private key of the certificate, in PEM.
        lasts: The lifetime in seconds, from when the credential was received.
    """

    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = field(default="", repr=False)
    lasts: float = math.inf


def read_program(
    content: Mapping[str, Any], folder: Path, cluster: Mapping[str, Any]
) -> Program:
    """Parse what a kubeconfig says under `exec`.

    Args:
        content: The content of `exec`.
        folder: The folder of the kubeconfig; a command that contains a slash is
            relative to it.
        cluster: Server and certificate authorities, for programs that ask for them.

    Raises:
        ValueError: The program cannot be run here; the text says why.
    """
    version, command = (
        str(content.get("apiVersion", "")),
        str(content.get("command", "")),
    )
    if version not in _VERSIONS:
        raise ValueError(f"exec.apiVersion is none of {', '.join(sorted(_VERSIONS))}")
    if not command:
        raise ValueError("exec.command is missing")
    if content.get("interactiveMode") == "Always":
        raise ValueError("exec.interactiveMode is Always, and nobody can answer here")
    if "/" in command:
        command = str(folder / command)
    spec: dict[str, Any] = {"interactive": False}
    if content.get("provideClusterInfo"):
        spec["cluster"] = cluster
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    environment = {str(v["name"]): str(v["value"]) for v in content.get("env") or ()}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(asked)
    arguments = tuple(str(argument) for argument in content.get("args") or ())
    return Program(command, arguments, tuple(environment.items()), version)


class LoginProgram:
    """Caches the credential of a login program, and runs the program only if needed.

    It runs when there is no credential, shortly before one expires, and when one was
    rejected. After runs that did not help, the wait before the next one grows.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._credential = Credential(lasts=0.0)
        self._given = 0.0
        self._vain = 0
        self._not_before = 0.0
        self._failure = ""
        self._running: asyncio.Task[None] | None = None

    async def credential(self) -> Credential:
        """Return a credential that has not expired, by the lifetime that came with it.

        A credential that expires soon is returned while the program runs for the next
        one: nobody waits for a slow program while there is still a valid credential.

        Raises:
            LoginFailed: There is no valid credential.
        """
        if self._left() <= min(EARLIEST, self._credential.lasts * EARLY):
            if time.monotonic() >= self._not_before:
                running = self._begin()
                if self._left() <= 0:
                    await asyncio.shield(running)
            if self._left() <= 0:
                raise LoginFailed(
                    self._failure
                    or f"What the kubeconfig's login program {self.program.name} gives "
                    "has ended already; look at this machine's clock, and at the "
                    "program"
                )
        return self._credential

    async def refused(self) -> None:
        """Replace a rejected credential, unless the pause after a run still lasts."""
        if time.monotonic() < self._not_before:
            return
        young = time.monotonic() - self._given < LONGEST_PAUSE
        await asyncio.shield(self._begin(self._vain + 1 if young else 0))

    def _left(self) -> float:
        return self._given + self._credential.lasts - time.monotonic()

    def _begin(self, vain: int = 0) -> asyncio.Task[None]:
        """Return the run that all callers share. Callers must shield it when they wait.

        Args:
            vain: The number of runs in a row that did not help, if this run succeeds.
        """
        if self._running is None:
            work = self._run_once(vain)
            self._running = asyncio.create_task(work, name="znp-login")
        return self._running

    async def _run_once(self, vain: int) -> None:
        try:
            credential = await self._ask()
        except LoginFailed as error:
            self._failure = error.message
            self._vain += 1
        else:
            self._credential, self._given = credential, time.monotonic()
            self._failure = ""
            self._vain = vain if self._left() > 0 else self._vain + 1
        finally:
            pause = min(LONGEST_PAUSE, 2.0 ** min(self._vain, 10) / 2)
            self._not_before = time.monotonic() + (pause if self._vain else 0.0)
            self._running = None

    async def _ask(self) -> Credential:
        program = self.program
        try:
            process = await asyncio.create_subprocess_exec(
                program.command,
                *program.arguments,
                env={**os.environ, **dict(program.environment)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise self._failed("cannot be run; see that it is installed") from error
        try:
            async with asyncio.timeout(PATIENCE):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise self._failed(f"did not end within {PATIENCE:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise self._failed(f"ended with exit code {process.returncode}")
        return self._parse(output)

    def _parse(self, output: bytes) -> Credential:
        try:
            answer = json.loads(output)
            if answer["apiVersion"] != self.program.version:
                raise self._failed("speaks another version than exec.apiVersion")
            status = answer["status"]
            end = status.get("expirationTimestamp")
            lasts = math.inf if end is None else _seconds_until(end)
            credential = Credential(
                str(status.get("token") or "").strip(),
                str(status.get("clientCertificateData") or ""),
                str(status.get("clientKeyData") or ""),
                lasts,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # The error is never logged with its cause, whose text may quote the output.
            raise self._failed("wrote no ExecCredential") from error
        if not (credential.token or (credential.certificate and credential.key)):
            raise self._failed("gave neither a token nor a certificate with its key")
        return credential

    def _failed(self, what: str) -> LoginFailed:
        return LoginFailed(
            f"The kubeconfig's login program {self.program.name} {what}; run it by "
            "hand, or see what kubectl says"
        )


def _seconds_until(moment: str) -> float:
    end = datetime.fromisoformat(moment)
    if end.tzinfo is None:
        end = end.replace(tzinfo=UTC)
    return (end - datetime.now(UTC)).total_seconds()
