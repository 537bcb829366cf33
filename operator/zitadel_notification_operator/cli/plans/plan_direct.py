"""Plans for a ZITADEL that is named by its URL, without a cluster."""

from collections.abc import Mapping, Sequence

from zitadel_notification_operator.cli.connecting.zitadel_access import Access
from zitadel_notification_operator.core.credentials import (
    CLIENT_ID,
    CLIENT_SECRET,
    AccessToken,
    CaRef,
    ClientSecret,
    Credential,
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE, Kind, ObjectKey
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import Scope

_SECRET = "credential"  # noqa: S105 - the name of what holds it
_EVERYTHING = (Grant(("*",), frozenset(Scope)),)


def at_url(objects: Sequence[OwnObject], access: Access) -> list[OwnObject]:
    """Return objects whose instances all lead to one URL, with one credential.

    A manifest of an instance must not say where the credential of the command line is
    sent. Of such a manifest only the grants count. An instance without a manifest
    grants everything.
    """
    given = {one.name: one for one in objects if isinstance(one, InstanceObject)}
    names = {one.needed_instance for one in objects if one.needed_instance}
    others = [one for one in objects if one.kind is not INSTANCE]
    return [
        *others,
        *(_instance(name, given.get(name), access) for name in sorted(names)),
    ]


def _instance(
    name: str, given: InstanceObject | None, access: Access
) -> InstanceObject:
    endpoint = access.endpoint
    return InstanceObject(
        key=ObjectKey("", name),
        uid=f"url-{name}",
        generation=1,
        created="1970-01-01T00:00:00Z",
        url=endpoint.url,
        external_domain=endpoint.external_domain,
        rate_limit=endpoint.rate_limit,
        credential=_reference_to(access.credential),
        ca=CaRef("ConfigMap", _SECRET, _SECRET) if access.roots else None,
        grants=given.grants if given else _EVERYTHING,
    )


def _reference_to(credential: Credential) -> CredentialRef:
    if isinstance(credential, AccessToken):
        return CredentialRef(CredentialKind.TOKEN, _SECRET, _SECRET)
    if isinstance(credential, ClientSecret):
        return CredentialRef(CredentialKind.CLIENT, _SECRET)
    return CredentialRef(CredentialKind.KEY, _SECRET, _SECRET)


class FileSecrets:
    """Hands out the credential and the roots of files; implements `SecretReader`.

    Args:
        access: What the command line names.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def read_secret(self, _name: str) -> Mapping[str, bytes] | None:
        """Return the credential, as the Secret of an instance would hold it."""
        credential = self._access.credential
        if isinstance(credential, AccessToken):
            return {_SECRET: credential.token.encode()}
        if isinstance(credential, ClientSecret):
            return {
                CLIENT_ID: credential.client_id.encode(),
                CLIENT_SECRET: credential.secret.encode(),
            }
        return {_SECRET: self._access.content}

    async def read_config_map(self, _name: str) -> Mapping[str, bytes] | None:
        """Return the additional trusted roots."""
        return {_SECRET: (self._access.roots or "").encode()}


async def no_crd_is_ending(_kind: Kind) -> bool:
    """Say that no CRD is being deleted, where there is no cluster."""
    return False
