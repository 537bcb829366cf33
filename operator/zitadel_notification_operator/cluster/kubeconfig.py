"""Reads kubeconfig files as kubectl does, and again when the API server rejects them.

The context and the server stay those of the start: the operator must not follow a
person who switches to another cluster in the same file.
"""

import base64
import binascii
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from .connection_config import TOKEN_AGE, ConnectionConfig, read_text
from .login_program import Credential, LoginFailed, LoginProgram, Program, read_program
from .tls import Tls, UnusableTls, context_of

_SHOWN = (
    *("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url"),
    "certificate-authority-data",
)
"""What a login program may see of the cluster."""

_log = logging.getLogger(__name__)


Fields = Mapping[str, Any]


class BadKubeconfig(ValueError):
    """A kubeconfig cannot be used. The text says why and quotes none of its content."""


@dataclass(frozen=True, slots=True)
class Section:
    """A cluster, a user or a context.

    Attributes:
        fields: Its content.
        folder: The folder of its file, where relative file names start.
    """

    fields: Fields
    folder: Path


@dataclass(frozen=True, slots=True)
class Entry:
    """What kubeconfig files say about one context.

    Attributes:
        context: The name of the context.
        cluster: The cluster that the context refers to.
        user: The user that the context refers to; without fields if there is none.
        namespace: The namespace that the context names; empty if it names none.
    """

    context: str
    cluster: Section
    user: Section
    namespace: str = ""


def read_entry(files: Sequence[Path], context: str = "") -> Entry:
    """Return what the files say about a context.

    Args:
        files: If several files define the same name, the first one wins.
        context: The name of the context; empty for the current one.

    Raises:
        BadKubeconfig: A file cannot be read, or something that is referred to is
            missing.
    """
    found: dict[tuple[str, str], Section] = {}
    for path in files:
        content = _load(path)
        context = context or str(content.get("current-context") or "")
        for kind in ("cluster", "user", "context"):
            for item in content.get(f"{kind}s") or ():
                name, fields = str(item["name"]), item.get(kind) or {}
                if not isinstance(fields, Mapping):
                    raise BadKubeconfig(f"its {kind} {name!r} is no mapping of fields")
                section = Section(fields, path.absolute().parent)
                found.setdefault((kind, name), section)
    if not context:
        raise BadKubeconfig("it names no current-context")

    def named(kind: str, name: object) -> Section:
        if (kind, str(name)) not in found:
            raise BadKubeconfig(f"it holds no {kind} {str(name)!r}")
        return found[kind, str(name)]

    chosen = named("context", context).fields
    cluster = named("cluster", chosen.get("cluster", ""))
    who = chosen.get("user")
    user = named("user", who) if who else Section({}, Path())
    return Entry(context, cluster, user, str(chosen.get("namespace") or ""))


def _load(path: Path) -> Fields:
    try:
        content = yaml.safe_load(path.read_text())
        if content is None:
            return {}
        for kind in ("clusters", "users", "contexts"):
            for item in content.get(kind) or ():
                item["name"]
    except (OSError, ValueError, yaml.YAMLError, AttributeError) as error:
        raise BadKubeconfig(f"{path} is no kubeconfig that can be read") from error
    except (TypeError, KeyError) as error:
        raise BadKubeconfig(f"{path} has an item without a name") from error
    if not isinstance(content, dict):
        raise BadKubeconfig(f"{path} is no kubeconfig that can be read")
    return content


def program_of(entry: Entry) -> Program | None:
    """Return the login program of an entry, or None if it uses none.

    Raises:
        BadKubeconfig: The program cannot be run here.
    """
    user, cluster = entry.user.fields, entry.cluster.fields
    content = _of_type(user, "exec", Mapping, "mapping of fields")
    if not content or user.get("token") or user.get("tokenFile"):
        return None
    shown = {key: cluster[key] for key in _SHOWN if cluster.get(key)}
    try:
        return read_program(content, entry.user.folder, shown)
    except (TypeError, KeyError) as error:
        raise BadKubeconfig(
            "its login program cannot be used: exec.args is a list of texts, and "
            "exec.env one of names with values"
        ) from error
    except ValueError as error:
        raise BadKubeconfig(f"its login program cannot be used: {error}") from error


async def config_of(
    entry: Entry, credential: Credential | None = None
) -> ConnectionConfig:
    """Return the server address and credentials that an entry describes.

    Args:
        entry: The entry of a context.
        credential: The credential from the login program, if there is one.

    Raises:
        BadKubeconfig: A field, or a file that it names, cannot be used.
    """
    try:
        config = ConnectionConfig(
            server=_server(entry),
            tls=_tls(entry, credential),
            authorization=await _authorization(entry, credential),
            impersonation=tuple(_impersonation(entry.user.fields)),
            proxy=_proxy(entry),
        )
        context_of(config.tls)
    except UnusableTls as error:
        raise BadKubeconfig(str(error)) from error
    except OSError as error:
        raise BadKubeconfig(f"it names {error.filename}, which cannot be read") from (
            error
        )
    return config


def _server(entry: Entry) -> str:
    cluster = entry.cluster.fields
    server = str(cluster.get("server") or "").rstrip("/")
    if not server:
        raise BadKubeconfig("its cluster has no server")
    if "://" not in server:
        trusts = any(key.startswith("certificate-authority") for key in cluster)
        server = f"{'https' if trusts else 'http'}://{server}"
    return server


def _proxy(entry: Entry) -> str:
    proxy = str(entry.cluster.fields.get("proxy-url") or "")
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise BadKubeconfig(
            "its proxy-url is neither http nor https, and no other proxy is supported"
        )
    return proxy


def _tls(entry: Entry, credential: Credential | None) -> Tls:
    authorities, origin = _pem(entry.cluster, "certificate-authority")
    if credential is not None and credential.certificate:
        certificate, key = credential.certificate, credential.key
    else:
        certificate, _ = _pem(entry.user, "client-certificate")
        key, _ = _pem(entry.user, "client-key")
    return Tls(
        authorities=authorities or None,
        origin=origin or Tls().origin,
        certificate=certificate,
        key=key,
        insecure=bool(entry.cluster.fields.get("insecure-skip-tls-verify")),
        server_name=str(entry.cluster.fields.get("tls-server-name") or ""),
    )


def _pem(section: Section, key: str) -> tuple[str, str]:
    """Return PEM text and where it comes from. Inline data wins over a file name."""
    if data := section.fields.get(f"{key}-data"):
        try:
            decoded = base64.b64decode(str(data), validate=False)
        except binascii.Error as error:
            raise BadKubeconfig(f"its {key}-data is no base64") from error
        return decoded.decode(errors="replace"), f"the kubeconfig's {key}-data"
    if name := section.fields.get(key):
        path = section.folder / str(name)
        return path.read_text(errors="replace"), str(path)
    return "", ""


async def _authorization(entry: Entry, credential: Credential | None) -> str:
    user = entry.user.fields
    if name := user.get("tokenFile"):
        try:
            return f"Bearer {read_text(entry.user.folder / str(name))}"
        except ValueError as error:
            raise BadKubeconfig("its tokenFile is empty") from error
    if token := user.get("token"):
        return f"Bearer {str(token).strip()}"
    if user.get("username") and user.get("password"):
        pair = f"{user['username']}:{user['password']}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"
    if _of_type(user, "auth-provider", Mapping, "mapping of fields"):
        return await _provided(user["auth-provider"])
    if credential is not None and credential.token:
        return f"Bearer {credential.token}"
    return ""


async def _provided(provider: Fields) -> str:
    """Return the token that the Kubernetes client gets from an OpenID provider."""
    # Few need the client, and its import takes as long as a third of all others.
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_kube_config_from_dict

    document = {
        "clusters": [{"name": "c", "cluster": {"server": "http://unused.invalid"}}],
        "users": [{"name": "u", "user": {"auth-provider": provider}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    made = Configuration()
    try:
        await load_kube_config_from_dict(document, client_configuration=made)
    except (ConfigException, ImportError, OSError, ValueError, TypeError) as error:
        raise BadKubeconfig("its auth-provider gives no token") from error
    return str(made.api_key.get("BearerToken") or "")


def _impersonation(user: Fields) -> list[tuple[str, str]]:
    headers = []
    if user.get("as"):
        headers.append(("Impersonate-User", str(user["as"])))
    if user.get("as-uid"):
        headers.append(("Impersonate-Uid", str(user["as-uid"])))
    groups = _of_type(user, "as-groups", list, "list") or ()
    headers += [("Impersonate-Group", str(group)) for group in groups]
    extra = _of_type(user, "as-user-extra", Mapping, "mapping of lists") or {}
    for key in extra:
        values = _of_type(extra, key, list, "list of texts") or ()
        headers += [(f"Impersonate-Extra-{key}", str(value)) for value in values]
    return headers


def _of_type(fields: Fields, key: str, wanted: type, words: str) -> Any:
    """Return a field's value, or None if it is absent.

    Raises:
        BadKubeconfig: It is of another type.
    """
    value = fields.get(key)
    if value is not None and not isinstance(value, wanted):
        raise BadKubeconfig(f"its {key} is no {words}")
    return value


class KubeconfigConfig:
    """A `Source` that reads kubeconfig files.

    Args:
        files: The kubeconfig files; all of them exist.
        entry: What the files said at the start.
        login: Runs the login program; None without one.
        credential: The first credential of the login program; None without one.
        config: What entry and credential make.
    """

    def __init__(
        self,
        files: Sequence[Path],
        entry: Entry,
        login: LoginProgram | None,
        credential: Credential | None,
        config: ConnectionConfig,
    ) -> None:
        self._files = files
        self._entry = entry
        self._login = login
        self._used = credential
        self._config = config
        self._is_logged = False
        self._read = time.monotonic()

    async def present(self) -> ConnectionConfig:
        """Return address and credentials, with a credential that has not expired.

        Raises:
            LoginFailed: The login program supplies no credential.
        """
        credential = await _credential(self._login)
        age = time.monotonic() - self._read
        stale = self._entry.user.fields.get("tokenFile") and age > TOKEN_AGE
        if credential != self._used or stale:
            await self._remake(credential)
        return self._config

    async def renew(
        self, refused: ConnectionConfig, *, tls: bool = False
    ) -> ConnectionConfig | None:
        """Read all files again and have the login program create another credential.

        The program is not run after a TLS failure, unless it supplies a client
        certificate: a token plays no part in TLS.
        """
        if self._config != refused:
            return self._config  # another request was rejected, too, and has renewed it
        try:
            self._take(read_entry(self._files, self._entry.context))
            known = self._used
            if self._login and not (tls and known and not known.certificate):
                await self._login.refused()
            await self._remake(await _credential(self._login))
        except (BadKubeconfig, LoginFailed):
            return None  # The file may be being written; keep what is known.
        return self._config if self._config != refused else None

    def _take(self, entry: Entry) -> None:
        """Adopt what the files say now, unless it leads to another cluster.

        Raises:
            BadKubeconfig: It cannot be used.
        """
        program = program_of(entry)
        if _server(entry) != _server(self._entry):
            if not self._is_logged:
                _log.warning(
                    "The kubeconfig names another API server than at the start, and "
                    "is not followed there: start anew if that is meant"
                )
            self._is_logged = True
            return
        self._entry = entry
        if program != (self._login.program if self._login else None):
            self._login = LoginProgram(program) if program else None
            self._used = None

    async def _remake(self, credential: Credential | None) -> None:
        self._read = time.monotonic()
        # A file may be being written; what is known is kept then.
        with suppress(BadKubeconfig):
            self._config = await config_of(self._entry, credential)
            self._used = credential


async def config_of_files(files: Sequence[Path], context: str = "") -> KubeconfigConfig:
    """Return a source for a context of the files.

    Args:
        files: If several files define the same name, the first one wins.
        context: The name of the context; empty for the current one.

    Raises:
        BadKubeconfig: The files cannot be used.
        LoginFailed: The login program supplies no credential.
    """
    entry = read_entry(files, context)
    program = program_of(entry)
    login = LoginProgram(program) if program else None
    credential = await _credential(login)
    config = await config_of(entry, credential)
    return KubeconfigConfig(files, entry, login, credential, config)


async def _credential(login: LoginProgram | None) -> Credential | None:
    return await login.credential() if login else None
