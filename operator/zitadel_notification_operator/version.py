"""The version of the operator, as installed."""

from importlib.metadata import version

VERSION = version("zitadel-notification-operator")
