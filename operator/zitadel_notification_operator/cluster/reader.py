"""Reads of our kinds: pages of a LIST, single objects, and whether they are served."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from kubernetes.aio.client import ApiClient

from zitadel_notification_operator.cluster.calls import (
    Expired,
    Forbidden,
    call,
    path_of,
)
from zitadel_notification_operator.cluster.names import (
    GROUP,
    INSTANCES,
    POLICIES,
    VERSION,
)
from zitadel_notification_operator.cluster.resources import (
    UnusableObject,
    parse_answer,
    parse_instance,
    parse_policy,
)
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ObjectGone
from zitadel_notification_operator.core.objects import (
    InstanceObject,
    PolicyList,
    PolicyObject,
)

PAGE = 500
"""Objects in one page of a LIST."""

_NOTHING: Mapping[PolicyKey, PolicyObject] = MappingProxyType({})

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ClusterReader:
    """The engine's `ObjectReader`."""

    def __init__(
        self, api: ApiClient, namespaces: tuple[str, ...], page: int = PAGE
    ) -> None:
        """Read policies of these namespaces; none named means all.

        Args:
            api: The client; it stays open.
            namespaces: Where policies are looked for.
            page: How many objects one page of a LIST may hold.
        """
        self._api = api
        self._namespaces = namespaces
        self._page = page
        self._told: set[str] = set()

    async def crds_served(self) -> bool:
        """Return whether both kinds are served now.

        Raises:
            ClusterError: Kubernetes did not answer.
        """
        try:
            found = await call(self._api, "GET", f"/apis/{GROUP}/{VERSION}")
        except ObjectGone:
            return False
        names = {resource["name"] for resource in found.get("resources", [])}
        return {POLICIES, INSTANCES} <= names

    async def list_policies(
        self, known: Mapping[PolicyKey, PolicyObject] = _NOTHING
    ) -> PolicyList:
        """Return all policies of the watched namespaces; unusable ones are left out.

        A namespace whose rights are gone, as they are while it is being deleted, keeps
        no other one from being read.

        Args:
            known: Records that there are. One of the same version is returned as it
                is: neither parsed again nor in memory twice.

        Raises:
            ClusterError: Kubernetes did not answer a page, or refused all namespaces;
                nothing is returned then.
        """

        def parse(item: Mapping[str, Any]) -> PolicyObject:
            told = item.get("metadata", {})
            key = PolicyKey(told.get("namespace", ""), told.get("name", ""))
            record, version = known.get(key), told.get("resourceVersion")
            if record is None or record.uid != told.get("uid"):
                return parse_policy(item)
            return record if record.resource_version == version else parse_policy(item)

        found: list[PolicyObject] = []
        refused: dict[str, Forbidden] = {}
        for namespace in self._namespaces or ("",):
            try:
                found += await self._list(path_of(POLICIES, namespace), parse)
            except Forbidden as error:
                refused[namespace] = error
        if len(refused) == len(self._namespaces or ("",)):
            raise next(iter(refused.values()))
        for refusal in refused.values():
            _log.warning("Left out a namespace: %s", refusal.message)
        return PolicyList(found, frozenset(refused))

    async def list_instances(self) -> list[InstanceObject]:
        """Return all instances; unusable ones are left out.

        Raises:
            ClusterError: Kubernetes did not answer a page; nothing is returned then.
        """
        return await self._list(path_of(INSTANCES), parse_instance)

    async def read_policy(self, namespace: str, name: str) -> PolicyObject | None:
        """Return one policy as stored now; None: there is none.

        Raises:
            ClusterError: Kubernetes did not answer, or the object is unusable.
        """
        return await self._read(path_of(POLICIES, namespace, name), parse_policy)

    async def read_instance(self, name: str) -> InstanceObject | None:
        """Return one instance as stored now; None: there is none.

        Raises:
            ClusterError: Kubernetes did not answer, or the object is unusable.
        """
        return await self._read(path_of(INSTANCES, name=name), parse_instance)

    async def _read(
        self, path: str, parse: Callable[[Mapping[str, Any]], T]
    ) -> T | None:
        try:
            body = await call(self._api, "GET", path)
        except ObjectGone:
            return None
        return parse_answer(parse, body)

    async def _list(
        self, path: str, parse: Callable[[Mapping[str, Any]], T]
    ) -> list[T]:
        try:
            return [record async for record in self._pages(path, parse, self._page)]
        except Expired:
            # The pages took longer than their token lives. A LIST without pages
            # cannot expire, so this ends (client-go's pager does the same).
            _log.info("LIST of %s expired between two pages", path)
            return [record async for record in self._pages(path, parse, None)]

    async def _pages(
        self, path: str, parse: Callable[[Mapping[str, Any]], T], size: int | None
    ) -> AsyncIterator[T]:
        query = {"limit": str(size)} if size else {}
        while True:
            page = await call(self._api, "GET", path, query=query)
            for item in page["items"]:
                try:
                    yield parse(item)
                except UnusableObject as error:
                    self._tell_once(str(error))
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            _log.warning("Ignored an object unlike its schema: %s", sentence)
