"""Recognizes the RuntimeErrors whose text reports a lost connection.

uvloop, asyncio and the HTTP clients raise a bare RuntimeError when a connection ends
while it is in use. Without this module, both adapters would mistake that for a bug in
the operator.
"""

_WORDS = (
    # uvloop and asyncio: a connection is cut while the next one gets its descriptor.
    "is used by transport",
    # uvloop: the transport was closed meanwhile, possibly during a TLS handshake.
    "unable to perform operation on",
    "the handler is closed",
    # asyncio: a write after the end of the stream.
    "Cannot call write() after write_eof()",
    # aiohttp and httpx: the object that owns the connections was closed during a call.
    "Session is closed",
    "Connector is closed",
    "the client has been closed",
)


def is_lost_socket(error: BaseException) -> bool:
    """Return whether an error is a RuntimeError that reports a lost connection.

    Args:
        error: What a call raised. The answer is False for anything but a RuntimeError.
    """
    if not isinstance(error, RuntimeError):
        return False
    text = str(error)
    return any(words in text for words in _WORDS)
