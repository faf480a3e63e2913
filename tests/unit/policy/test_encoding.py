"""From bytes to text: the encodings that Windows' editors leave behind."""

from __future__ import annotations

import codecs

import pytest

from ipsecfd.policy.scripts.encoding import EncodingError, decode

CHINESE = 'rem 首先禁止所有访问\r\nnetsh ipsec static add policy name="阻止" description=允许\r\n'
WESTERN = 'rem Größe déjà vu – „Säule“\r\nnetsh ipsec static add policy name="Sécurisé"\r\n'  # noqa: RUF001


@pytest.mark.parametrize("text", [CHINESE, WESTERN, "netsh\r\n", ""])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
    ],
)
def test_unicode(text: str, encoding: str, mark: bytes) -> None:
    """UTF-8 and UTF-16 of either byte order, with a mark and without."""
    assert text.replace("\r\n", "\n") == decode(mark + text.encode(encoding))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "cp936"),
        ("rem ＩＰ，安全", "cp936"),  # noqa: RUF001
        (WESTERN, "cp1252"),
        ("name=Sécurisé", "cp1252"),
        ("name=Café", "cp1252"),
        ("ipsecpol –w REG –p “Packet Filter”", "cp1252"),  # noqa: RUF001
        ("für Ärger: ß ö ü", "cp1252"),
        ("für Ärger: ß ö ü", "cp850"),
    ],
)
def test_code_pages(text: str, encoding: str) -> None:
    """Chinese comes in pairs of bytes, an accented letter stands alone."""
    assert text.replace("\r\n", "\n") == decode(text.encode(encoding))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\r\nb\rc\nd", "a\nb\nc\nd"),
        (b"a\r\n\x1a", "a\n"),
        (b"a\x1a\x1a", "a"),
        (b"a\x81b\x9d\xff", "aübØ\xa0"),
    ],
)
def test_line_ends_and_leftovers(data: bytes, expected: str) -> None:
    """All line ends are the same; Ctrl-Z at the end is none of the text; no byte is refused."""
    assert expected == decode(data)


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"\xff\xfea\0\n\0b", 2, "expected UTF-16-LE text, not byte 0x62"),
        (b"\xef\xbb\xbfa\nb\n\xff", 3, "expected UTF-8 text, not byte 0xff"),
        (b"a\r\nb\0c\0\0\0", 2, "expected text, not a zero byte"),
        (b"\xff\xfea\0\0\0", 1, "expected text, not a zero byte"),
    ],
)
def test_what_is_no_text(data: bytes, line: int, why: str) -> None:
    """One error with its line."""
    with pytest.raises(EncodingError) as caught:
        decode(data)
    assert (line, why) == (caught.value.line, caught.value.why)
