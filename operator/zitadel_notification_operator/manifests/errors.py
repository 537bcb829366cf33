"""What is wrong with the manifests, or with the files, that a person has named."""

from collections.abc import Sequence

from zitadel_notification_operator.core.text import one_line

_TOLD = 20
"""How many problems one error lists; the rest is only counted."""


class ManifestError(ValueError):
    """Something that was to be read cannot be used. The text is for people.

    Args:
        problems: Sentences without a full stop. Each names where the problem is. They
            may quote files: what would control a terminal becomes blanks.

    Attributes:
        problems: All of them, although the text lists only the first ones.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(_told(problems))
        self.problems = problems


def _told(problems: Sequence[str]) -> str:
    lines = [one_line(problem) for problem in problems[:_TOLD]]
    if len(problems) > _TOLD:
        lines.append(f"There are {len(problems) - _TOLD} more problems like these")
    return "\n".join(lines)
