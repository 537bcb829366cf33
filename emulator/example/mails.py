"""Turns on the mails that tell an organization's users of a changed password."""

import httpx

PATH = "/management/v1/policies/notification"


class NotInForce(Exception):
    """ZITADEL accepted the setting, but does not show it."""


def turn_on(url: str, token: str, organization: str) -> None:
    """Give the organization a policy of its own with mails, and check the result."""
    headers = {"Authorization": f"Bearer {token}", "x-zitadel-orgid": organization}
    with httpx.Client(base_url=url, headers=headers) as client:
        policy = read(client)
        if not has_mails(policy):
            method = "POST" if policy.get("isDefault") else "PUT"
            body = {"passwordChange": True}
            client.request(method, PATH, json=body).raise_for_status()
            if not has_mails(read(client)):
                raise NotInForce(organization)


def read(client: httpx.Client) -> dict[str, object]:
    """Return the policy in force; an answer of 503 is worth two more tries."""
    answer = client.get(PATH)
    for _ in range(2):
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            answer = client.get(PATH)
    policy: dict[str, object] = answer.raise_for_status().json()["policy"]
    return policy


def has_mails(policy: dict[str, object]) -> bool:
    """Tell whether the organization has mails by a policy of its own."""
    return "isDefault" not in policy and policy.get("passwordChange", False) is True
