"""What a conversion has found in a file of another tool, and what it has to say."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.manifests.errors import ManifestError

INSTANCE = ""
"""Stands in place of an organization's id for the instance itself."""


@dataclass(frozen=True, slots=True)
class Found:
    """A notification policy that another tool holds.

    Attributes:
        origin: Where it is, as that tool names it.
        title: A word for the name of the object.
        organization: ZITADEL's id of the organization, or `INSTANCE`.
        settings: The values.
        comments: What a reader of the manifest should know.
    """

    origin: str
    title: str
    organization: str
    settings: Settings
    comments: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """All that was found in one file.

    Attributes:
        found: The policies, in the order of the file.
        warnings: What people should know, as sentences.
        problems: What cannot be read, as sentences.
        skipped: How many resources or objects are of other kinds.
    """

    found: list[Found] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: int = 0

    def warn_of_several(self, what: str, names: set[str]) -> None:
        """Warn if policies may be of several ZITADELs.

        Args:
            what: What names a ZITADEL in that tool, in the plural.
            names: The ones that were found.
        """
        if len(names) > 1:
            listed = ", ".join(sorted(names))
            self.warnings.append(
                f"The policies belong to several {what}: {listed}. If these are "
                "different ZITADELs, convert each by itself, with its --instance-ref"
            )


def read_flag(value: object, what: str, where: str, findings: Findings) -> bool | None:
    """Return a flag's value; if it is none, note that and return None.

    Args:
        value: What the file holds.
        what: The name of the value in that tool.
        where: Where it is.
        findings: Where the problem is noted.
    """
    if isinstance(value, bool):
        return value
    is_absent = value is None
    problem = "it has no" if is_absent else "this is neither true nor false:"
    findings.problems.append(f"{where}: {problem} {what}")
    return None


def one_id(values: Mapping[str, object], where: str, findings: Findings) -> str | None:
    """Return the organization's id, which a tool stores in two places.

    Args:
        values: What the two places hold, by their names.
        where: The resource.
        findings: Where it is noted that the id is unknown.
    """
    first, second = values
    known = [value for value in values.values() if value not in (None, "")]
    texts = {value for value in known if isinstance(value, str)}
    if not all(isinstance(one, str) for one in known):
        problem = f"its {first} or {second} is no text"
    elif len(texts) == 1:
        return texts.pop()
    elif texts:
        problem = f"its {first} and {second} differ"
    else:
        problem = f"it has neither {first} nor {second}"
    findings.problems.append(f"{where}: {problem}, so its organization is unknown")
    return None


def settings_of(*, password_change: bool) -> Settings:
    """Return the values that all of these tools know."""
    return Settings.of({"passwordChange": password_change})


def read_json(text: str, name: str) -> dict[str, Any]:
    """Return the one JSON object that a text holds.

    Raises:
        ManifestError: It holds something else.
    """
    try:
        whole = json.loads(text.removeprefix("\ufeff"))
    except ValueError as error:
        raise ManifestError(f"{name} is no JSON: {_reason(error)}") from error
    except RecursionError as error:
        raise ManifestError(f"{name} is nested too deeply") from error
    if not isinstance(whole, dict):
        raise ManifestError(f"{name} holds no JSON object")
    return whole


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    return "it cannot be read"


def shown_version(version: object) -> str:
    """Return a version for a message; what is none may be anything, even a secret."""
    text = str(version)
    return text if re.fullmatch("[0-9.]{1,12}", text) else "an unknown kind"


def list_at(whole: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """Return a list of objects; an absent one is empty.

    Raises:
        ManifestError: It is something else.
    """
    found = whole.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ManifestError(f"{where}: {key} must be a list of objects")
    return found


def map_at(whole: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """Return an object within an object; an absent one is empty.

    Raises:
        ManifestError: It is something else.
    """
    found = whole.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ManifestError(f"{where}: {key} must be an object")
    return found
