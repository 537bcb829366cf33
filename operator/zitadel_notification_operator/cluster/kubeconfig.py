"""Reads kubeconfig files as kubectl does, and again when the API server rejects them.

The context and the server stay those of the start: the operator must not follow a
person who switches to another cluster in the same file.
"""

import base64
import binascii
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config_from_dict

from zitadel_notification_operator.cluster.login_program import (
    Credential,
    LoginFailed,
    LoginProgram,
    Program,
    read_program,
)
from zitadel_notification_operator.cluster.tls import Tls, UnusableTls, context_of
from zitadel_notification_operator.cluster.way import TOKEN_AGE, Way, read_text

_log = logging.getLogger(__name__)


class BadKubeconfig(ValueError):
    """A kubeconfig cannot be used. The text says why and quotes none of its content."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What kubeconfig files say about one context.

    Attributes:
        context: The name of the context.
        cluster: The content of the cluster that the context refers to.
        user: The content of the user that the context refers to; empty without one.
        folder: The folder of the file that holds the cluster. Relative file names in
            the cluster start there.
        user_folder: Likewise, for the user.
    """

    context: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]
    folder: Path
    user_folder: Path


def read_entry(files: Sequence[Path], context: str = "") -> Entry:
    """Return what the files say about a context.

    Args:
        files: If several files define the same name, the first one wins.
        context: The name of the context; empty for the current one.

    Raises:
        BadKubeconfig: A file cannot be read, or something that is referred to is
            missing.
    """
    found: dict[tuple[str, str], tuple[Mapping[str, Any], Path]] = {}
    for path in files:
        content = _load(path)
        context = context or str(content.get("current-context") or "")
        for kind in ("cluster", "user", "context"):
            for item in content.get(f"{kind}s") or ():
                named = (kind, str(item["name"]))
                fields = item.get(kind) or {}
                if not isinstance(fields, Mapping):
                    raise BadKubeconfig(
                        f"its {kind} {named[1]!r} is no mapping of fields"
                    )
                found.setdefault(named, (fields, path.absolute().parent))
    if not context:
        raise BadKubeconfig("it names no current-context")
    chosen, _ = _find(found, "context", context)
    cluster, folder = _find(found, "cluster", str(chosen.get("cluster", "")))
    user: Mapping[str, Any] = {}
    user_folder = folder
    if chosen.get("user"):
        user, user_folder = _find(found, "user", str(chosen["user"]))
    return Entry(context, cluster, user, folder, user_folder)


def _find(
    found: Mapping[tuple[str, str], tuple[Mapping[str, Any], Path]],
    kind: str,
    name: str,
) -> tuple[Mapping[str, Any], Path]:
    try:
        return found[kind, name]
    except KeyError:
        raise BadKubeconfig(f"it holds no {kind} {name!r}") from None


def _load(path: Path) -> Mapping[str, Any]:
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
    told = _of_type(entry.user, "exec", Mapping, "mapping of fields")
    if not told or entry.user.get("token") or entry.user.get("tokenFile"):
        return None
    cluster = {
        key: entry.cluster[key]
        for key in (
            *("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url"),
            "certificate-authority-data",
        )
        if entry.cluster.get(key)
    }
    try:
        return read_program(told, entry.user_folder, cluster)
    except (TypeError, KeyError) as error:
        raise BadKubeconfig(
            "its login program cannot be used: exec.args is a list of texts, and "
            "exec.env one of names with values"
        ) from error
    except ValueError as error:
        raise BadKubeconfig(f"its login program cannot be used: {error}") from error


async def way_of(entry: Entry, credential: Credential | None = None) -> Way:
    """Return the server address and credentials that an entry describes.

    Args:
        entry: The entry of a context.
        credential: The credential from the login program, if there is one.

    Raises:
        BadKubeconfig: A field, or a file that it names, cannot be used.
    """
    try:
        way = Way(
            server=_server(entry),
            tls=_tls(entry, credential),
            authorization=await _authorization(entry, credential),
            impersonation=tuple(_impersonation(entry.user)),
            proxy=_proxy(entry),
        )
        context_of(way.tls)
    except UnusableTls as error:
        raise BadKubeconfig(str(error)) from error
    except OSError as error:
        raise BadKubeconfig(f"it names {error.filename}, which cannot be read") from (
            error
        )
    return way


def _server(entry: Entry) -> str:
    server = str(entry.cluster.get("server") or "").rstrip("/")
    if not server:
        raise BadKubeconfig("its cluster has no server")
    if "://" not in server:
        trusts = any(key.startswith("certificate-authority") for key in entry.cluster)
        server = f"{'https' if trusts else 'http'}://{server}"
    return server


def _proxy(entry: Entry) -> str:
    proxy = str(entry.cluster.get("proxy-url") or "")
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise BadKubeconfig(
            "its proxy-url is neither http nor https, and no other proxy is supported"
        )
    return proxy


def _tls(entry: Entry, credential: Credential | None) -> Tls:
    authorities, origin = _pem(entry.cluster, "certificate-authority", entry.folder)
    if credential is not None and credential.certificate:
        certificate, key = credential.certificate, credential.key
    else:
        certificate, _ = _pem(entry.user, "client-certificate", entry.user_folder)
        key, _ = _pem(entry.user, "client-key", entry.user_folder)
    return Tls(
        authorities=authorities or None,
        origin=origin or Tls().origin,
        certificate=certificate,
        key=key,
        insecure=bool(entry.cluster.get("insecure-skip-tls-verify")),
        server_name=str(entry.cluster.get("tls-server-name") or ""),
    )


def _pem(told: Mapping[str, Any], key: str, folder: Path) -> tuple[str, str]:
    """Return PEM text and where it comes from. Inline data wins over a file name."""
    if data := told.get(f"{key}-data"):
        try:
            decoded = base64.b64decode(str(data), validate=False)
        except binascii.Error as error:
            raise BadKubeconfig(f"its {key}-data is no base64") from error
        return decoded.decode(errors="replace"), f"the kubeconfig's {key}-data"
    if name := told.get(key):
        path = folder / str(name)
        return path.read_text(errors="replace"), str(path)
    return "", ""


async def _authorization(entry: Entry, credential: Credential | None) -> str:
    user = entry.user
    if name := user.get("tokenFile"):
        try:
            return f"Bearer {read_text(entry.user_folder / str(name))}"
        except ValueError as error:
            raise BadKubeconfig("its tokenFile is empty") from error
    if token := user.get("token"):
        return f"Bearer {str(token).strip()}"
    if user.get("username") and user.get("password"):
        pair = f"{user['username']}:{user['password']}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"
    if _of_type(user, "auth-provider", Mapping, "mapping of fields"):
        return await _provided(entry)
    if credential is not None and credential.token:
        return f"Bearer {credential.token}"
    return ""


async def _provided(entry: Entry) -> str:
    """Return the token that the Kubernetes client gets from an OpenID provider."""
    told = {
        "clusters": [{"name": "c", "cluster": {"server": "http://unused.invalid"}}],
        "users": [
            {"name": "u", "user": {"auth-provider": entry.user["auth-provider"]}}
        ],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    made = Configuration()
    try:
        await load_kube_config_from_dict(told, client_configuration=made)
    except (ConfigException, ImportError, OSError, ValueError, TypeError) as error:
        raise BadKubeconfig("its auth-provider gives no token") from error
    return str(made.api_key.get("BearerToken") or "")


def _impersonation(user: Mapping[str, Any]) -> list[tuple[str, str]]:
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


def _of_type(fields: Mapping[str, Any], key: str, wanted: type, words: str) -> Any:
    """Return a field's value, or None if it is absent.

    Raises:
        BadKubeconfig: It is of another type.
    """
    value = fields.get(key)
    if value is not None and not isinstance(value, wanted):
        raise BadKubeconfig(f"its {key} is no {words}")
    return value


class KubeconfigWay:
    """A `Source` that reads kubeconfig files.

    Args:
        files: The kubeconfig files; all of them exist.
        entry: What the files said at the start.
        login: Runs the login program; None without one.
    """

    def __init__(
        self, files: Sequence[Path], entry: Entry, login: LoginProgram | None
    ) -> None:
        self._files = files
        self._entry = entry
        self._login = login
        self._way: Way | None = None
        self._used: Credential | None = None
        self._told = False
        self._read = time.monotonic()

    async def present(self) -> Way:
        """Return address and credentials, with a credential that has not expired.

        Raises:
            LoginFailed: The login program supplies no credential.
        """
        credential = await self._login.credential() if self._login else None
        age = time.monotonic() - self._read
        stale = self._entry.user.get("tokenFile") and age > TOKEN_AGE
        if self._way is None or credential != self._used or stale:
            await self._remake(credential)
        assert self._way is not None  # noqa: S101 - `_remake` has made it, or raised
        return self._way

    async def renew(self, refused: Way, *, tls: bool = False) -> Way | None:
        """Read all files again and have the login program create another credential.

        The program is not run after a TLS failure, unless it supplies a client
        certificate: a token plays no part in TLS.
        """
        if self._way is not None and self._way != refused:
            return self._way  # another request was rejected, too, and has renewed it
        try:
            entry = read_entry(self._files, self._entry.context)
            program = program_of(entry)
        except BadKubeconfig:
            return None  # The file is being written; keep what is known.
        self._take(entry, program)
        try:
            known = self._used
            if self._login and not (tls and known and not known.certificate):
                await self._login.refused()
            credential = await self._login.credential() if self._login else None
            await self._remake(credential)
        except LoginFailed:
            return None
        return self._way if self._way != refused else None

    def _take(self, entry: Entry, program: Program | None) -> None:
        """Adopt what the files say now, unless it leads to another cluster."""
        try:
            stays = _server(entry) == _server(self._entry)
        except BadKubeconfig:
            return  # The file is being written; keep what is known.
        if not stays:
            if not self._told:
                _log.warning(
                    "The kubeconfig names another API server than at the start, and "
                    "is not followed there: start anew if that is meant"
                )
            self._told = True
            return
        self._entry = entry
        if program != (self._login.program if self._login else None):
            self._login = LoginProgram(program) if program else None
            self._used = None

    async def _remake(self, credential: Credential | None) -> None:
        self._read = time.monotonic()
        try:
            way = await way_of(self._entry, credential)
        except BadKubeconfig as error:
            if self._way is None:
                raise LoginFailed(f"The kubeconfig cannot be used: {error}") from error
            return  # The file is being written; keep what is known.
        self._way, self._used = way, credential


async def way_of_files(files: Sequence[Path]) -> tuple[KubeconfigWay, Way]:
    """Return a source for the current context of the files, and its present content.

    Raises:
        BadKubeconfig: The files cannot be used.
        LoginFailed: The login program supplies no credential.
    """
    entry = read_entry(files)
    program = program_of(entry)
    login = LoginProgram(program) if program else None
    source = KubeconfigWay(files, entry, login)
    # Called only to raise BadKubeconfig, which `present` would turn into a
    # `LoginFailed`.
    await way_of(entry, await login.credential() if login else None)
    return source, await source.present()
