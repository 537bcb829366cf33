"""The end-to-end tests with the chart's service account and permissions.

With its default values the chart's operator serves all namespaces. This API server also
checks who may set owner references.
"""

from cluster import test_behaviour, test_connections, test_deletions, test_sets
from cluster.conftest import System
from install import stories
from install.stories import ABOUT_ZITADEL, AS_ADMINISTRATOR, SLOW, judge, suite_of
from support.audit import AuditLog
from support.installed import Installation

ADMISSION = ("OwnerReferencesPermissionEnforcement",)

globals().update(suite_of(test_behaviour))
globals().update(suite_of(test_sets))
globals().update(suite_of(test_deletions, *AS_ADMINISTRATOR, *SLOW))
globals().update(suite_of(test_connections, *ABOUT_ZITADEL))
globals().update(suite_of(stories))


def test_rights_are_exact(
    system: System, installation: Installation, audit: AuditLog
) -> None:
    """In all these tests nothing was refused, and every permission was used."""
    judge(system, installation, audit)
