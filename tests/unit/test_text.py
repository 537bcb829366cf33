"""Texts of others are shown on one line and cut to a length."""

import json

import pytest

from support.drift import bench_with
from support.engines import policy
from support.virtual_time import run
from zitadel_notification_operator.core.text import LONGEST_NAME, one_line, shown_name
from zitadel_notification_operator.zitadel.event_search import EventsReply, events_in

FORGED = "Eve\n2026-01-01 ERROR forged\u202e\x1b[2J\u2028"


@pytest.mark.parametrize("name", ["ACME", "Zoë 山田", "a\u00a0b", "a\u3000b", ""])
def test_names_of_all_scripts_stay(name: str) -> None:
    assert shown_name(name) == name


def test_what_would_forge_a_line_is_blank() -> None:
    assert one_line(FORGED) == "Eve 2026-01-01 ERROR forged  [2J "


def test_long_names_are_cut() -> None:
    assert len(shown_name("x" * 5000)) == LONGEST_NAME


def test_the_editor_of_an_event_is_shown_so() -> None:
    """A longer name would make the API server refuse the status."""
    editor = {"userId": "u", "displayName": FORGED + "x" * 5000}
    event = {
        "editor": editor,
        "aggregate": {"id": "o"},
        "sequence": "1",
        "creationDate": "2026-01-01T00:00:00Z",
        "type": {"type": "org.removed"},
    }
    (found,) = events_in(
        EventsReply.model_validate_json(json.dumps({"events": [event]}))
    )
    assert found.editor is not None
    assert found.editor.name == shown_name(FORGED + "x" * 5000)


def test_an_organization_s_name_is_shown_so() -> None:
    """The status has the short form; comparisons use the full name."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        harness.zitadel.names["o"] = FORGED
        await harness.start()
        await harness.live(60)
        assert harness.policy("p").status.organization_name == one_line(FORGED)
        await harness.stop()

    run(story())
