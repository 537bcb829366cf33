"""The few calls to ZITADEL that the walk makes itself, as an administrator would."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

POLICY = "/management/v1/policies/notification"
TIMEOUT = 30.0


class CallFailed(Exception):
    """ZITADEL refused a call or did not answer; the text has its answer."""


@dataclass(frozen=True)
class Zitadel:
    """A ZITADEL and the token of an IAM_OWNER.

    Attributes:
        url: The URL, without a slash at the end.
        token: The personal access token.
    """

    url: str
    token: str

    def create_organization(self, name: str) -> str:
        """Create an organization and return its id."""
        made = self._call("POST", "/management/v1/orgs", body={"name": name})
        return str(made["id"])

    def remove_organization(self, organization: str) -> None:
        """Remove an organization."""
        self._call("DELETE", "/management/v1/orgs/me", organization)

    def policy(self, organization: str) -> tuple[bool, bool]:
        """Return whether an organization inherits, and whether mails are on."""
        found = self._call("GET", POLICY, organization)["policy"]
        # ZITADEL leaves out what is false.
        return found.get("isDefault", False), found.get("passwordChange", False)

    def set_policy(self, organization: str, *, mails: bool) -> None:
        """Change the policy that the organization has."""
        self._call("PUT", POLICY, organization, {"passwordChange": mails})

    def _call(
        self, method: str, path: str, organization: str = "", body: Any = None
    ) -> Any:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        if organization:
            headers["x-zitadel-orgid"] = organization
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the URL that was asked for
            self.url + path, data, headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - likewise
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise CallFailed(f"{method} {path}: HTTP {error.code}: {text}") from error
        except (OSError, ValueError) as error:
            raise CallFailed(f"{method} {path}: {error}") from error
