"""Reads the JSON of the kinds as the operator does."""

from typing import Any

from zitadel_notification_operator.cluster.resources import parse
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE, POLICY
from zitadel_notification_operator.core.policy_object import PolicyObject


def parse_policy(body: dict[str, Any]) -> PolicyObject:
    """Return the record of a NotificationPolicy."""
    found = parse(POLICY, body)
    assert isinstance(found, PolicyObject)
    return found


def parse_instance(body: dict[str, Any]) -> InstanceObject:
    """Return the record of a ZitadelInstance."""
    found = parse(INSTANCE, body)
    assert isinstance(found, InstanceObject)
    return found
