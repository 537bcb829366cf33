"""The decision table: what is done for each observation, and its two promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.settings import mails
from zitadel_notification_operator.core.decision import Action, decide
from zitadel_notification_operator.core.policy import (
    DesiredPolicy,
    ObservedPolicy,
    Scope,
)

ORG, INSTANCE = Scope.ORGANIZATION, Scope.INSTANCE


@pytest.mark.parametrize(
    ("scope", "wanted", "observed", "needed"),
    [
        pytest.param(ORG, True, (True, True), Action.CREATE, id="inherited and equal"),
        pytest.param(ORG, True, (True, False), Action.CREATE, id="inherited, differs"),
        pytest.param(ORG, True, (False, True), Action.NONE, id="own and equal"),
        pytest.param(ORG, False, (False, True), Action.UPDATE, id="own, differs"),
        pytest.param(ORG, True, None, Action.CREATE, id="nothing to inherit from"),
        pytest.param(INSTANCE, True, (True, True), Action.NONE, id="instance equal"),
        pytest.param(
            INSTANCE, False, (True, True), Action.UPDATE, id="instance differs"
        ),
        pytest.param(INSTANCE, False, None, Action.CREATE, id="instance has none"),
    ],
)
def test_table(
    scope: Scope, wanted: bool, observed: tuple[bool, bool] | None, needed: Action
) -> None:
    """Each state has one decision; Observe decides the same and does nothing."""
    seen = None if observed is None else ObservedPolicy(observed[0], mails(observed[1]))
    managed = decide(DesiredPolicy(scope, mails(wanted)), seen)
    watched = decide(DesiredPolicy(scope, mails(wanted), manages=False), seen)
    assert (managed.needed, managed.action) == (needed, needed)
    assert (watched.needed, watched.action) == (needed, Action.NONE)


values = st.booleans().map(mails)
desired = st.builds(DesiredPolicy, st.sampled_from(Scope), values, st.booleans())
observations = st.none() | st.builds(ObservedPolicy, st.booleans(), values)


@given(desired, observations)
def test_second_pass_writes_nothing(
    wanted: DesiredPolicy, observed: ObservedPolicy | None
) -> None:
    """What a write leaves behind needs no further write."""
    decision = decide(wanted, observed)
    if decision.action is Action.NONE:
        assert decision.in_sync or not wanted.manages
        return
    # A GET of the instance's policy always says `isDefault`.
    left = ObservedPolicy(wanted.scope is Scope.INSTANCE, wanted.settings)
    assert decide(wanted, left).in_sync


@given(desired, observations)
def test_absence_is_never_a_value(
    wanted: DesiredPolicy, observed: ObservedPolicy | None
) -> None:
    """Without an observation nothing is in sync, whatever value is wanted."""
    if observed is None:
        assert not decide(wanted, observed).in_sync
