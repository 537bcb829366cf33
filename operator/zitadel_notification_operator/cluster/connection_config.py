"""How to connect to the API server: its address and credentials, and their sources."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from .tls import Tls, context_of

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts the service account's files in a pod."""

TOKEN_AGE = 60.0
"""Seconds after which a token file is read again, because mounted tokens rotate."""


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """How to reach the API server, and with which credentials.

    Attributes:
        server: The URL of the API server, without a slash at the end.
        tls: The TLS settings.
        authorization: The value of the Authorization header; empty without one.
        impersonation: Headers that make the caller act as another user.
        proxy: The URL of a proxy; empty without one.
    """

    server: str
    tls: Tls = field(default_factory=Tls)
    authorization: str = field(default="", repr=False)
    impersonation: tuple[tuple[str, str], ...] = ()
    proxy: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """Host and port of the API server."""
        return urlsplit(self.server).netloc.rpartition("@")[2]


class Source(Protocol):
    """Supplies the config to use. Its methods may be called concurrently."""

    async def present(self) -> ConnectionConfig:
        """Return the config to use now.

        Raises:
            ClusterError: There are no credentials at present; the text says why.
        """
        ...

    async def renew(
        self, refused: ConnectionConfig, *, tls: bool = False
    ) -> ConnectionConfig | None:
        """Read everything again, and return what to try after a rejection.

        Args:
            refused: The config that was rejected.
            tls: True if TLS failed; False if the server rejected the credentials.

        Returns:
            Another way, or None if there is no other one yet.
        """
        ...


class PodConfig:
    """A `Source` for a pod's service account, whose files Kubernetes keeps up to date.

    Args:
        server: The API server's URL.
        folder: The folder with `token` and `ca.crt`.

    Raises:
        OSError: One of the two cannot be read.
        UnusableTls: `ca.crt` contains no certificate.
        ValueError: The token is empty.
    """

    def __init__(self, server: str, folder: Path) -> None:
        self._token, self._authorities = folder / "token", folder / "ca.crt"
        tls = Tls(read_text(self._authorities), origin=str(self._authorities))
        context_of(tls)
        self._config = ConnectionConfig(server, tls, f"Bearer {read_text(self._token)}")
        self._read = time.monotonic()

    async def present(self) -> ConnectionConfig:
        """Return the config, with a token that was read within the last minute."""
        if time.monotonic() - self._read > TOKEN_AGE:
            self._read = time.monotonic()
            self._renew_token()
        return self._config

    async def renew(
        self, refused: ConnectionConfig, *, tls: bool = False
    ) -> ConnectionConfig | None:
        """Read both files again, as `Source` describes."""
        del tls
        self._renew_token()
        # The file may be being written; what is known is kept then.
        with suppress(OSError, ValueError):
            made = replace(self._config.tls, authorities=read_text(self._authorities))
            context_of(made)
            self._config = replace(self._config, tls=made)
        return self._config if self._config != refused else None

    def _renew_token(self) -> None:
        with suppress(OSError, ValueError):  # as above
            token = read_text(self._token)
            self._config = replace(self._config, authorization=f"Bearer {token}")


def config_of_pod(
    environment: Mapping[str, str], folder: Path = ACCOUNT
) -> PodConfig | None:
    """Return the source for this process's pod, or None outside of a pod.

    Args:
        environment: The environment of the process.
        folder: Where the service account is mounted.

    Raises:
        OSError: As `PodConfig`.
        ValueError: As `PodConfig`.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT")
    if not (host and port and (folder / "token").is_file()):
        return None
    if ":" in host:
        host = f"[{host}]"
    return PodConfig(f"https://{host}:{port}", folder)


def read_text(path: Path) -> str:
    """Return a file's content, stripped. Invalid UTF-8 becomes replacement characters.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is empty.
    """
    text = path.read_text(errors="replace").strip()
    if not text:
        raise ValueError(f"{path} is empty")
    return text
