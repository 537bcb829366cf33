"""Reads the JSON of the kinds as the operator does."""

from functools import partial

from zitadel_notification_operator.cluster.resources import parse
from zitadel_notification_operator.core.kinds import INSTANCE, POLICY

parse_policy = partial(parse, POLICY)
parse_instance = partial(parse, INSTANCE)
