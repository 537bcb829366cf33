"""Keeps one of several equal texts or records, so that many objects share it.

The JSON of each object brings its own copy of what nearly all objects have: the words
of a condition, the names of an instance and a finalizer, the second in which a hundred
policies became Ready. And an object repeats some texts, such as its organization's id.
These copies were more than half of the memory that a policy took.

The caches are bounded. A value that has left them is still shared by those that have
it; only later equal ones are separate.
"""

from functools import lru_cache

from .conditions import Condition

_TEXTS = 4096
"""Enough for all common texts, and for the own ones of the last few hundred objects."""

_RECORDS = 1024


@lru_cache(maxsize=_TEXTS)
def shared_text(text: str) -> str:
    """Return the first text that was equal to this one."""
    return text


@lru_cache(maxsize=_RECORDS)
def shared_texts(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first tuple of texts that was equal to this one."""
    return tuple(map(shared_text, texts))


@lru_cache(maxsize=_RECORDS)
def shared_conditions(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Return the first tuple of conditions that was equal to this one."""
    return tuple(
        Condition(
            shared_text(each.type),
            shared_text(each.status),
            shared_text(each.reason),
            shared_text(each.message),
            each.observed_generation,
            shared_text(each.last_transition_time),
        )
        for each in conditions
    )
