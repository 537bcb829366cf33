"""The switches that make the emulated ZITADEL behave differently."""

from dataclasses import dataclass

from .hosts import OUTAGES

TOKEN_ERRORS = ("server_error", "invalid_grant", "invalid_client")
"""The OAuth errors that builds of ZITADEL send for bad assertions, oldest first."""

TOKEN_LIFETIME = 43_199
"""The default lifetime of an access token in seconds, as answers state it.

ZITADEL's `OIDC.DefaultAccessTokenLifetime` is 12 h; answers round it down.
"""


@dataclass(slots=True)
class Behavior:
    """The switches of one server; by default it behaves like an ordinary ZITADEL.

    Attributes:
        stale_reads: How many of the next GETs of policies do not see the last write.
            Each such GET counts it down.
        stale_milliseconds: GETs of policies do not see writes younger than this.
        projection_broken: GETs of policies fail with 500, code 2.
        projection_stopped: The read side processes no events. Once this is off again,
            it processes all that came meanwhile, in order.
        projection_retry_milliseconds: How long the read side retries the insert of a
            policy whose row it still has. During that time all GETs of policies fail
            with 500, code 13.
        extra_fields: Answers to GETs of policies and to searches for events contain
            fields that no client knows.
        deprecation: API answers carry a `Deprecation` header.
        database_error: The answer to calls while the database is down: `not_found`
            (404, code 5, v4 of 2025) or `internal` (500, code 13, newer).
        error_slugs: The details of errors are `zitadel.error.v2.ErrorDetail`, which
            has a `slug` instead of the `id`.
        largest_limit: The highest limit of a search; a higher one is refused (400,
            `QUERY-4M0fs`). Searches without a limit get this one. 0 means no maximum.
        search_lag_milliseconds: Searches for organizations do not see changes younger
            than this.
        token_errors: The OAuth error for bad assertions: `server_error` (500, v4 up to
            spring 2026), `invalid_grant` or `invalid_client` (400, newer).
        token_lifetime: Seconds until a new access token expires.
        instance_blocked: All calls are refused with 429, which the token endpoint
            sends as plain text.
        event_retention_seconds: Searches for events do not see events that are this
            old or older; 0 hides none (ZITADEL: `AuditLogRetention`).
        event_lag_milliseconds: How much later a new event becomes visible to searches
            for events; its time stays that of the write.
        transaction_milliseconds: How long the transaction of a new event takes. The
            event has the time at which the transaction began and becomes visible when
            the transaction ends, so it can appear after events with a later time.
        clock_skew_milliseconds: How far the server's clock is ahead; a negative value
            means that it is behind.
    """

    stale_reads: int = 0
    stale_milliseconds: int = 0
    projection_broken: bool = False
    projection_stopped: bool = False
    projection_retry_milliseconds: int = 5000
    extra_fields: bool = False
    deprecation: bool = False
    database_error: str = OUTAGES[0]
    error_slugs: bool = False
    largest_limit: int = 0
    search_lag_milliseconds: int = 0
    token_errors: str = TOKEN_ERRORS[0]
    token_lifetime: int = TOKEN_LIFETIME
    instance_blocked: bool = False
    event_retention_seconds: int = 0
    event_lag_milliseconds: int = 0
    transaction_milliseconds: int = 0
    clock_skew_milliseconds: int = 0
