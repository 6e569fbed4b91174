"""Bytes as UTF-8 with line feeds, whatever their encoding and line ends were."""

from __future__ import annotations

import codecs

from genrec.errors import InputError

__all__ = ["decode_text"]

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
BYTES_SHOWN = 12
BYTES_TRIED = 1 << 20


def decode_text(content: bytes, source: str, encoding: str | None) -> bytes:
    """UTF-8 without a byte order mark, every line end a line feed.

    Args:
        content: the file.
        source: how messages call it.
        encoding: by Python's name; None is UTF-8.

    Raises:
        InputError: it is of another encoding; the message names line, bytes and a likely one.
    """
    if encoding is None or codecs.lookup(encoding).name == "utf-8":
        content = content.removeprefix(codecs.BOM_UTF8)
    try:
        if encoding is None:
            content.decode()  # looks at it only: it stays as it is
        else:
            content = content.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeDecodeError as error:
        raise InputError(_explain(content, source, encoding, error)) from error
    except UnicodeEncodeError as error:
        raise InputError(f"{source} is no {encoding}: it holds halves of characters") from error
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
        if b"\n" not in content:
            content = content.replace(b"\r", b"\n")
    return content


def _explain(content: bytes, source: str, encoding: str | None, error: UnicodeDecodeError) -> str:
    before = content[: error.start].decode(encoding or "utf-8", "replace")
    line = before.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    shown = content[error.start : error.start + BYTES_SHOWN]
    likely = _guess(content, encoding)
    remedy = (
        f"say which it is, likely --encoding {likely}"
        if likely
        else "it is no text in an encoding that could be told; say which with --encoding"
    )
    return f"{source} line {line} is not {encoding or 'UTF-8'} at the bytes {shown!r}; {remedy}"


def _guess(content: bytes, tried: str | None) -> str | None:
    """A likely encoding: by its mark, or what nearly all text in Latin letters is in."""
    for mark, name in MARKS.items():
        if content.startswith(mark):
            return name
    sample = content[:BYTES_TRIED]
    if sample.count(0) > len(sample) // 100:
        return None
    for name in ("utf-8", "cp1252", "latin-1"):
        try:
            content.decode(name)
        except UnicodeDecodeError:
            continue
        if name != tried:
            return name
    return None
