"""Reads objects of the operator's kinds, and finds out whether the kinds are served."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zitadel_notification_operator.core.errors import ObjectGone
from zitadel_notification_operator.core.kinds import KINDS, Kind, ObjectKey
from zitadel_notification_operator.core.objects import ObjectList, OwnObject

from .calls import ApiClient, Expired, Forbidden, call, path_of
from .names import GROUP, VERSION
from .resources import UnusableObject, parse, parse_answer

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
"""The API path of the CRDs."""

PAGE = 500
"""Objects per page of a LIST."""

_log = logging.getLogger(__name__)


class ClusterReader:
    """The adapter behind the engine's `ObjectReader`.

    Attributes:
        kinds: The kinds that are served. A LIST of any other kind is empty without a
            call, because its CRD is known to be absent. For a kind in this set, a 404
            is an error.
    """

    def __init__(
        self, api: ApiClient, namespaces: tuple[str, ...], page: int = PAGE
    ) -> None:
        """Create a reader for the objects of some namespaces.

        Args:
            api: Makes the calls. It is not closed by the reader.
            namespaces: The namespaces whose objects are read; empty for all.
            page: Objects per page of a LIST.
        """
        self._api = api
        self._namespaces = namespaces
        self._page = page
        self._logged: set[str] = set()
        self.kinds = frozenset(KINDS)

    async def kinds_served(self) -> frozenset[Kind]:
        """Return which of the operator's kinds are served now.

        Raises:
            ClusterError: Kubernetes did not answer.
        """
        try:
            found = await call(self._api, "GET", f"/apis/{GROUP}/{VERSION}")
        except ObjectGone:
            return frozenset()
        names = {resource["name"] for resource in found.get("resources", [])}
        return frozenset(kind for kind in KINDS if kind.plural in names)

    async def are_absent(self, kinds: frozenset[Kind]) -> bool:
        """Return whether it is certain that these kinds have no CRD.

        Discovery may lag behind, so the CRDs themselves are read. If the operator may
        not read a CRD, it counts as present, and one warning is logged.

        Raises:
            ClusterError: Kubernetes did not answer.
        """
        for kind in kinds:
            found = await self._crd(
                kind,
                "Cannot tell whether a CRD is missing",
                "so no kind is served while another CRD is missing: grant get on the "
                "CRDs by name, as the chart does",
            )
            if found is not None:
                return False
        return True

    async def crd_is_ending(self, kind: Kind) -> bool:
        """Return whether the CRD of a kind is being deleted now, or is gone.

        If the operator may not read the CRD, it counts as one that stays, and one
        warning is logged. The roles of older charts lack that permission, and deletions
        must work under them as before.

        Raises:
            ClusterError: Kubernetes did not answer.
        """
        found = await self._crd(
            kind,
            "Cannot tell whether CRDs are being deleted",
            "so each CRD counts as one that stays, and what is deleted with it is "
            "undone in ZITADEL",
        )
        return found is None or "deletionTimestamp" in found["metadata"]

    async def _crd(self, kind: Kind, problem: str, effect: str) -> Any:
        """Return the CRD of a kind, or None if there is none.

        If the operator may not read it, the answer is that of a CRD that stays, and
        `problem` and `effect` are logged once.
        """
        path = f"{CRDS}/{kind.plural}.{GROUP}"
        try:
            return await call(self._api, "GET", path)
        except ObjectGone:
            return None
        except Forbidden as error:
            self._tell_once(f"{error.message}; {effect}", problem)
            return {"metadata": {}}

    async def list_objects(
        self, kind: Kind, known: Iterable[OwnObject] = ()
    ) -> ObjectList:
        """Return all objects of a kind in the watched namespaces, if they have a name.

        A namespace that the operator may not read, as happens while it is being
        deleted, does not keep the others from being read.

        Args:
            kind: The kind.
            known: Known records. A record whose version is still current is returned as
                it is: it is not parsed again, and there is no second copy in memory.

        Raises:
            ClusterError: Kubernetes did not answer for a page, or every namespace was
                forbidden. Nothing is returned then.
        """
        versions_known = {(one.uid, one.resource_version): one for one in known}

        def read(item: Mapping[str, Any]) -> OwnObject:
            metadata = item.get("metadata") or {}
            version = metadata.get("uid", ""), metadata.get("resourceVersion", "")
            return versions_known.get(version) or parse(kind, item)

        if kind not in self.kinds:
            return ObjectList([])
        found: list[OwnObject] = []
        versions: list[str] = []
        refused: dict[str, Forbidden] = {}
        namespaces = self._namespaces if kind.namespaced else ()
        for namespace in namespaces or ("",):
            try:
                part, version = await self._list(path_of(kind, namespace), read)
            except Forbidden as error:
                refused[namespace] = error
            else:
                found += part
                versions.append(version)
        for refusal in refused.values():
            if not versions:
                raise refusal
            level = logging.WARNING if refusal.claim_logging() else logging.DEBUG
            _log.log(level, "Left out a namespace: %s", refusal.message)
        return ObjectList(found, frozenset(refused), _lowest(versions))

    async def read(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        """Return one object as stored now, or None if there is none.

        Raises:
            ClusterError: Kubernetes did not answer, or the object has no name or uid.
        """
        try:
            body = await call(self._api, "GET", path_of(kind, *key))
        except ObjectGone:
            return None
        found: OwnObject = parse_answer(kind, body)
        return found

    async def _list(
        self, path: str, read: Callable[[Mapping[str, Any]], OwnObject]
    ) -> tuple[list[OwnObject], str]:
        """Return the records and the resource version of the LIST, or of its begin."""
        try:
            return await self._pages(path, read, self._page)
        except Expired:
            # There is no token with which to go on. A LIST without pages cannot expire,
            # so this ends. The pager of client-go does the same.
            _log.info("LIST of %s expired between two pages", path)
            return await self._pages(path, read, None)

    async def _pages(
        self,
        path: str,
        read: Callable[[Mapping[str, Any]], OwnObject],
        size: int | None,
    ) -> tuple[list[OwnObject], str]:
        query = {"limit": str(size)} if size else {}
        found: list[OwnObject] = []
        version = ""
        while True:
            try:
                page = await call(self._api, "GET", path, query=query)
            except Expired as error:
                if not error.token:
                    raise
                # Reading took longer than the token lives, as with very many objects at
                # a busy API server. The rest is of a later state; what has changed
                # meanwhile in the part before is left to the watch.
                query["continue"] = error.token
                continue
            version = version or str(page["metadata"].get("resourceVersion", ""))
            for item in page["items"]:
                try:
                    found.append(read(item))
                except UnusableObject as error:
                    self._tell_once(str(error))
            token = page["metadata"].get("continue")
            if not token:
                return found, version
            query["continue"] = token

    def _tell_once(
        self, sentence: str, what: str = "Ignored an object unlike its schema"
    ) -> None:
        if sentence not in self._logged:
            self._logged.add(sentence)
            _log.warning("%s: %s", what, sentence)


def _lowest(versions: list[str]) -> str:
    """Return the oldest version, or an empty text if a version is not a number."""
    if not versions or not all(version.isdigit() for version in versions):
        return ""
    return min(versions, key=int)
