"""Short names for `passwordChange`, for tests that are about something else."""

from zitadel_notification_operator.core.settings import Settings


def mails(value: bool | None) -> Settings:
    """Return the settings in which only `passwordChange` has a value, if any."""
    return Settings.of({"passwordChange": value})


def mailing(settings: Settings) -> bool | None:
    """Return the value of `passwordChange`, or None if it is left out."""
    return settings.by_name()["passwordChange"]
