"""What `znp export` writes is what ZITADEL holds: `znp plan -f -` says No changes."""

import random

import pytest

from commands.conftest import Znp
from zitadel_emulator.testing import EmulatedZitadel
from zitadel_notification_operator.planning.wording import NO_CHANGES

FORMS = (
    (),
    ("-o", "json"),
    ("--by", "name"),
    ("--include-inherited",),
    ("--instance-policy",),
    ("--include-inherited", "--instance-policy", "--by", "name", "-n", "team-a"),
    ("--management-policy", "Observe"),
)
AS_SET = ("--as", "set", "--instance-policy")
NAMES = ("株式会社 アクメ", "# a comment", "key: value", "x" * 200, "null", "true")


@pytest.mark.parametrize("seed", range(4))
def test_an_export_changes_nothing(
    run_znp: Znp, zitadel: EmulatedZitadel, seed: int
) -> None:
    """Over random states, in each form."""
    chance = random.Random(seed)
    for name in NAMES:
        zitadel.add_organization(name)
    everyone = zitadel.organizations.values()
    for organization in everyone:
        if chance.random() < 0.6:
            on = chance.random() < 0.5
            zitadel.set_policy(organization, password_change=on)
    zitadel.set_policy(password_change=chance.random() < 0.5)
    for form in FORMS:
        require_no_changes(run_znp, form)
    inheriting = run_znp("export", *AS_SET)
    for organization in everyone:
        zitadel.set_policy(organization, password_change=chance.random() < 0.7)
    require_no_changes(run_znp, AS_SET)
    assert inheriting.exit_code == 1, "a set would give all of them a policy"


def require_no_changes(run_znp: Znp, form: tuple[str, ...]) -> None:
    """Export in a form, and plan that."""
    exported = run_znp("export", *form)
    assert exported.exit_code == 0, exported.output
    planned = run_znp("plan", "-f", "-", "--detailed-exitcode", input=exported.stdout)
    assert (planned.stdout, planned.exit_code) == (f"{NO_CHANGES}\n", 0), form
