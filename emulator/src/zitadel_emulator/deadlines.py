"""The header Grpc-Timeout, with which a client limits how long a call may take.

Source: grpc-gateway, `runtime/context.go`. The gateway reads the header before the body
and refuses a malformed one. It accepts more than gRPC's own protocol, which allows at
most eight digits: any 64-bit number, also with a sign. 0 means no limit.
"""

import re

from .answers import BAD_INPUT, Refusal

HEADER = "Grpc-Timeout"

_FORM = re.compile(r"([+-]?[0-9]+)([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MOST_DIGITS = 30
_NUMBERS = range(-(2**63), 2**63)


def limit_of(text: str) -> float | None:
    """Parse the header and return the limit in seconds, or None if there is no limit.

    Args:
        text: The header's value; empty if the header is absent.

    Raises:
        Refusal: The value is malformed (400, code 3, without an id).
    """
    if not text:
        return None
    matched = _FORM.fullmatch(text)
    # int() raises an error of its own for very long numbers.
    if matched is None or len(text) > _MOST_DIGITS:
        raise _malformed(text)
    number = int(matched[1])
    if number not in _NUMBERS:
        raise _malformed(text)
    # The gateway's multiplication overflows at 292 years; here it is a long limit.
    return number * _SECONDS[matched[2]] or None


def _malformed(text: str) -> Refusal:
    # Bytes that are not UTF-8 arrive as surrogates, which no answer can contain.
    shown = text.encode(errors="surrogateescape").decode(errors="replace")
    return Refusal(BAD_INPUT, f"invalid grpc-timeout: {shown}")
