"""JSON as the service reads it.

Python's reader takes more than RFC 8259 allows (NaN, lone surrogates), turns numbers beyond a double into infinity,
and gives up on documents that are nested deeply. The service refuses the first two and ignores the last in a header.
A verdict must not depend on the language that reached it, so this module settles the differences.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# The service's reader refuses the 128th level of arrays and objects.
_MAX_DEPTH = 127
# A number of fewer digits is no larger than a double.
_MAX_DIGITS = 309
_LONG_NUMBER = re.compile(r"[0-9]{309}")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SPACE = re.compile(r"[ \t\n\r]*")


class NotJsonError(ValueError):
    """A text is no JSON object, or none that the service would read."""


def _refuse_constant(name: str) -> float:
    raise NotJsonError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJsonError("a number is beyond a double")
    return number


def _finite_int(text: str) -> int:
    _finite(text)
    return int(text)


_decode = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant).decode
_decode_long = json.JSONDecoder(parse_float=_finite, parse_int=_finite_int, parse_constant=_refuse_constant).decode


def read_claims(raw: bytes) -> dict[str, Any]:
    """Reads a payload.

    Raises:
        NotJsonError: The bytes are no JSON object in UTF-8, or one of more than 127 levels.
    """
    try:
        text = raw.decode()
        if text.count("[") + text.count("{") > _MAX_DEPTH and _depth(text) > _MAX_DEPTH:
            raise NotJsonError("nested too deeply")
        is_long = len(text) >= _MAX_DIGITS and _LONG_NUMBER.search(text)
        value = _decode_long(text) if is_long else _decode(text)
        if "\\u" in text:
            # A lone surrogate is no character, so no encoding has it.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotJsonError(str(error)) from None
    if type(value) is not dict:
        raise NotJsonError("not an object")
    return value


def read_header(raw: bytes) -> dict[str, Any]:
    """Reads a header. Of members that decide nothing, the values may be missing.

    Raises:
        NotJsonError: The bytes are no JSON object in UTF-8.
    """
    try:
        text = raw.decode()
        value = _Shallow(text).read() if "\\u" in text else _read_usual_header(text)
    except ValueError as error:
        raise NotJsonError(str(error)) from None
    if type(value) is not dict:
        raise NotJsonError("not an object")
    return value


def _read_usual_header(text: str) -> Any:  # noqa: ANN401
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        # What decides nothing may be nested deeply, or be a number beyond a double.
        return _Shallow(text).read()


def _depth(text: str) -> int:
    deepest = depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


class _Shallow:
    """Reads one object without recursion: what lies deeper than its members is checked and dropped."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self._space()
        self._expect("{")
        if self._took("}"):
            return self._end(members)
        while True:
            name = self._name()
            start = self._at
            self._skip_value()
            raw = self._text[start : self._at]
            # Only these are looked at; what the service skips may hold anything that is JSON.
            if name in ("alg", "kid", "typ"):
                value = json.loads(raw) if raw[0] == '"' else None
                if isinstance(value, str):
                    value.encode()
                members[name] = value
            else:
                members[name] = None
            if not self._took(","):
                self._expect("}")
                return self._end(members)

    def _end(self, members: dict[str, Any]) -> dict[str, Any]:
        if self._at != len(self._text):
            raise NotJsonError("text after the object")
        return members

    def _name(self) -> str:
        raw = self._match(_STRING)
        name = json.loads(raw)
        if not isinstance(name, str):
            raise NotJsonError("no name")
        name.encode()
        self._space()
        self._expect(":")
        return name

    def _skip_value(self) -> None:
        """Skips one value, of any depth."""
        opened: list[str] = []
        while True:
            if self._took("["):
                if not self._took("]"):
                    opened.append("]")
                    continue
            elif self._took("{"):
                if not self._took("}"):
                    opened.append("}")
                    self._name()
                    continue
            else:
                self._match(_STRING if self._text[self._at : self._at + 1] == '"' else _SCALAR)
            # A value has ended; so may those around it.
            end = self._at
            self._space()
            while opened and not self._took(","):
                self._expect(opened.pop())
                self._space()
                end = self._at
            if not opened:
                self._at = end
                self._space()
                return
            if opened[-1] == "}":
                self._name()

    def _space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if not match:
            raise NotJsonError("not JSON")
        self._at = match.end()
        return match[0]

    def _took(self, character: str) -> bool:
        if self._text[self._at : self._at + 1] != character:
            return False
        self._at += 1
        self._space()
        return True

    def _expect(self, character: str) -> None:
        if not self._took(character):
            raise NotJsonError(f"no {character}")
