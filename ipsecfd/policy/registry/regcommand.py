"""One `reg add` or `reg delete` command of reg.exe, done to a tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from ipsecfd.policy.registry.tree import Data, Place, RegistryFileError, Tree, Value

ADD_FORM: Final = "reg add KEY [/v NAME] [/t TYPE] [/d DATA] [/s SEPARATOR] [/f]"
DELETE_FORM: Final = "reg delete KEY [/v NAME] [/f]"
_REG: Final = re.compile(r"(?:.*[\\/])?reg(?:\.exe)?", re.IGNORECASE)
_WITH_VALUE: Final = ("v", "t", "d", "s")
_SWITCHES: Final = ("ve", "va", "f", "reg:32", "reg:64")


def is_reg_command(words: list[str]) -> bool:
    """Whether these words run reg.exe."""
    return bool(words) and _REG.fullmatch(words[0].lstrip("@")) is not None


def run_reg_command(tree: Tree, text: str, line: int) -> None:
    """Do one command to the tree, or name it among the tree's failures."""
    place = Place(line, text.strip())
    try:
        words = list(split_words(text))
        if not is_reg_command(words):
            raise RegistryFileError(f"expected {ADD_FORM}")
        _run(tree, words[1:], place)
    except RegistryFileError as error:
        tree.refuse(place, str(error))


def split_words(text: str) -> Iterator[str]:
    r"""The words of a command as a program of Windows gets them: `"` quotes, `\"` is a quote."""
    word: list[str] = []
    quoted = started = False
    for piece in re.findall(r'\\+|"|\s|[^\\"\s]+', text):
        if piece == '"':
            if word and word[-1].endswith("\\") and len(word[-1]) % 2:
                word[-1] = word[-1][: len(word[-1]) // 2]
                word.append('"')
            else:
                if word and word[-1].startswith("\\"):
                    word[-1] = word[-1][: len(word[-1]) // 2]
                quoted, started = not quoted, True
        elif piece.isspace() and not quoted:
            if word or started:
                yield "".join(word)
            word, started = [], False
        else:
            word.append(piece)
    if word or started:
        yield "".join(word)


def _run(tree: Tree, words: list[str], place: Place) -> None:
    verb = words[0].lower() if words else ""
    form = {"add": ADD_FORM, "delete": DELETE_FORM}.get(verb)
    if form is None or len(words) < 2:
        raise RegistryFileError(f"expected {form or f'{ADD_FORM} or {DELETE_FORM}'}")
    path, options = words[1], _options(words[2:], form)
    if verb == "add":
        key = tree.make(path, place)
        if "v" in options or "ve" in options:
            data = _data(options)
            key.set(Value(options.get("v", ""), data, place))
    elif "v" in options or "ve" in options:
        tree.make(path, place).delete(options.get("v", ""), place)
    elif "va" in options:
        raise RegistryFileError("expected the values to delete one by one, with /v NAME")
    else:
        tree.delete(path, place)


def _options(words: list[str], form: str) -> dict[str, str]:
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name = word[1:].lower()
        if word[:1] not in ("/", "-") or name not in (*_WITH_VALUE, *_SWITCHES):
            raise RegistryFileError(f'expected {form}, not "{word}"')
        value = next(rest, None) if name in _WITH_VALUE else ""
        if value is None:
            raise RegistryFileError(f"expected something behind {word}: {form}")
        options[name] = value
    return options


def _data(options: dict[str, str]) -> Data:
    kind, text = options.get("t", "REG_SZ").upper(), options.get("d", "")
    read = _TYPES.get(kind)
    if read is None:
        raise RegistryFileError(f"expected a type among {', '.join(_TYPES)}, not {kind}")
    if kind == "REG_MULTI_SZ":
        return tuple(one for one in text.split(options.get("s") or "\\0") if one)
    return read(text)


def _number(text: str) -> int:
    if re.fullmatch(r"0x[0-9a-f]{1,8}|[0-9]{1,10}", text, re.IGNORECASE):
        number = int(text, 16 if text[:2] in ("0x", "0X") else 10)
        if number < 1 << 32:
            return number
    raise RegistryFileError(f'expected a number of 32 bits, not "{text}"')


def _binary(text: str) -> bytes:
    if len(text) % 2 or not re.fullmatch(r"[0-9a-f]*", text, re.IGNORECASE):
        raise RegistryFileError("expected pairs of hexadecimal digits behind /d")
    return bytes.fromhex(text)


_TYPES: Final[dict[str, Callable[[str], Data]]] = {
    "REG_SZ": str,
    "REG_EXPAND_SZ": str,
    "REG_MULTI_SZ": str,
    "REG_DWORD": _number,
    "REG_BINARY": _binary,
}
