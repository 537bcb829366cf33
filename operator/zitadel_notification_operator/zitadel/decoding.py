"""Decodes answers that a proxy has compressed, although nobody asked for it.

Sizes are limited while decoding, because a few bytes may stand for gigabytes.
"""

import zlib
from collections.abc import AsyncIterator

import httpx

_PART = 65_536
"""Bytes that are decoded at once."""

_CODINGS = {"gzip", "x-gzip", "deflate"}
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


async def decoded_parts(response: httpx.Response, most: int) -> AsyncIterator[bytes]:
    """Yield the parts of a body, until `most` bytes were decoded.

    The rest is read, so that the connection can be used again, and thrown away.

    Args:
        response: The response; its body was not read yet.
        most: The number of bytes after which nothing more is decoded.

    Raises:
        httpx.DecodingError: The body is encoded in a way that was not asked for and
            that is not understood, or it is cut.
        zlib.error: The body is damaged.
    """
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the response has no stream that can be awaited")
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding in {"", "identity"}:
        async for part in stream:
            yield part
        return
    if coding not in _CODINGS:
        raise httpx.DecodingError(f"unknown encoding {coding}")
    decoder, size = zlib.decompressobj(_GZIP_OR_ZLIB), 0
    async for part in stream:
        rest = part
        while rest and size < most:
            found = decoder.decompress(rest, _PART)
            rest = decoder.unconsumed_tail
            size += len(found)
            yield found
    if size < most and not decoder.eof:
        raise httpx.DecodingError("the body is cut")
