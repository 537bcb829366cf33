"""The options that say which ZITADEL is meant, and how to reach it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from zitadel_notification_operator.cli.options.declaring import FILE, option
from zitadel_notification_operator.cli.options.own_namespace import own_namespace

F = TypeVar("F", bound=Callable[..., Any])

allow_local_urls_option = option(
    "--allow-local-urls",
    is_flag=True,
    help="Also connect to loopback and link-local addresses.",
)
"""The option that lets a command connect to this machine."""

operator_namespace_option = option(
    "--operator-namespace",
    variable="NAMESPACE",
    default=own_namespace,
    help="The operator's own namespace, which has the Secrets of ZitadelInstances. "
    "Default: the service account's, else zitadel-notification-operator.",
)
"""The option that says where the Secrets of a ZitadelInstance are."""

_LARGEST = 2**20
"""Bytes of the largest file that is read; bundles of authorities have 200,000."""

CREDENTIAL_FILES = ("token_file", "key_file", "client_credentials_file")
"""The parameters that name a file with a credential."""


@dataclass(frozen=True, slots=True)
class ZitadelOptions:
    """Which ZITADEL: that of a ZitadelInstance, or one that is named by its URL.

    Attributes:
        instance: The name of a ZitadelInstance in the cluster; empty for none.
        url: ZITADEL's URL; beside `instance` it replaces that object's URL only.
        token_file: A file with a personal access token.
        key_file: A key file of a service user.
        client_credentials_file: A JSON file with `clientId` and `clientSecret`.
        ca_file: A PEM file of additional trusted roots.
        external_domain: ZITADEL's domain if the URL has another host; empty for none.
        allow_local_urls: Whether loopback and link-local addresses may be called.
        allow_insecure_http: Whether the credential may be sent without encryption.
        requests_per_second: The rate limit; None for the instance's own, or 50.
        operator_namespace: Where the Secrets of a ZitadelInstance are.
        content: The content of the file with the credential; empty without one.
        roots: The content of `ca_file`; None without one.
    """

    instance: str = ""
    url: str = ""
    token_file: Path | None = None
    key_file: Path | None = None
    client_credentials_file: Path | None = None
    ca_file: Path | None = None
    external_domain: str = ""
    allow_local_urls: bool = False
    allow_insecure_http: bool = False
    requests_per_second: int | None = None
    operator_namespace: str = ""
    content: bytes = field(default=b"", repr=False)
    roots: str | None = None

    @classmethod
    def take(cls, options: dict[str, Any]) -> "ZitadelOptions":
        """Take these options out of a command's parameters, and check them.

        The files are read here, before there is an event loop: until then a signal ends
        the process, also while a file such as a pipe blocks.

        Raises:
            click.UsageError: They do not fit together; the text says what to do.
            click.ClickException: A file cannot be read.
        """
        names = cls.__dataclass_fields__
        taken = {name: options.pop(name) for name in names if name in options}
        given = cls(**{name: value for name, value in taken.items() if value})
        files = [name for name in CREDENTIAL_FILES if getattr(given, name)]
        if len(files) > 1:
            raise click.UsageError("Name one file with a credential, not several")
        if files and given.instance:
            raise click.UsageError(
                "--instance uses the Secret of that ZitadelInstance: leave out "
                f"--{files[0].replace('_', '-')}"
            )
        if given.is_direct and not files:
            raise click.UsageError(
                "--url needs a credential: --token-file, --key-file or "
                "--client-credentials-file"
            )
        if files and not given.url:
            raise click.UsageError("A file with a credential needs --url")
        given._require_safe_url()
        return given._with_files()

    def _with_files(self) -> "ZitadelOptions":
        path = self.credential_file
        try:
            content = _read(path) if path else b""
            roots = _read(self.ca_file).decode() if self.ca_file else None
        except (OSError, ValueError) as error:
            raise click.ClickException(f"A file cannot be read: {error}") from error
        return replace(self, content=content, roots=roots)

    def _require_safe_url(self) -> None:
        """Require encryption, unless the credential stays on this machine.

        Raises:
            click.UsageError: The URL is none, or would need --allow-insecure-http.
        """
        if not self.url:
            return
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise click.UsageError(f"--url {self.url} does not begin with https://HOST")
        is_local = self.allow_local_urls and _is_loopback(parts.hostname)
        if parts.scheme == "http" and not (self.allow_insecure_http or is_local):
            raise click.UsageError(
                "--url with http:// would send the credential without encryption; use "
                "https://, or say --allow-insecure-http"
            )

    def of_instance(self, name: str) -> "ZitadelOptions":
        """Return these options for a ZitadelInstance that the command itself found."""
        return replace(self, instance=name)

    @property
    def is_direct(self) -> bool:
        """Whether ZITADEL is named without a cluster."""
        return bool(self.url) and not self.instance

    @property
    def credential_file(self) -> Path | None:
        """The file with the credential, if one is named."""
        return self.token_file or self.key_file or self.client_credentials_file


def zitadel_options(function: F) -> F:
    """Add the options that say which ZITADEL is meant to a command."""
    options = (
        option("--instance", help="The name of a ZitadelInstance in the cluster."),
        option("--url", help="ZITADEL's URL, such as https://zitadel.example.com."),
        option(
            "--token-file",
            type=FILE,
            help="A file with a service user's personal access token.",
        ),
        option(
            "--key-file", type=FILE, help="A service user's key file, as downloaded."
        ),
        option(
            "--client-credentials-file",
            type=FILE,
            help="A JSON file with a service user's clientId and clientSecret.",
        ),
        option(
            "--ca-file",
            type=FILE,
            help="A PEM file of authorities to trust besides the system's.",
        ),
        option(
            "--external-domain",
            help="ZITADEL's own domain, if the URL has another host.",
        ),
        allow_local_urls_option,
        option(
            "--allow-insecure-http",
            is_flag=True,
            help="Also use a URL that begins with http://, without encryption.",
        ),
        option(
            "--requests-per-second",
            type=click.IntRange(1, 10000),
            help="How many calls ZITADEL may receive each second. Default: what the "
            "ZitadelInstance says, else 50.",
        ),
        operator_namespace_option,
    )
    for one in reversed(options):
        function = one(function)
    return function


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too long for what it must hold; it may be a device.
    """
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"{path} is larger than {_LARGEST} bytes")
    return content
