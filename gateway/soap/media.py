"""Content-Type fields: one media type and its parameters, or nothing.

The law: RFC 9110 sections 5.6.6 and 8.3.1, RFC 2045 section 5.1; no parameter stands twice. What a media
type means is left to ``guard`` and ``mtom``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.errors import UnsupportedMediaType

MAX_LENGTH: Final = 1024
"""Characters of the field."""

_WORD: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_QUOTED: Final = r'"((?:[^"\\]|\\.)*+)"'
_TYPE: Final = re.compile(rf"{_WORD}/{_WORD}")
_PARAMETER: Final = re.compile(rf"[ \t]*;[ \t]*({_WORD})=(?:({_WORD})|{_QUOTED})")
_END: Final = re.compile(r"[ \t]*;?[ \t]*")
_PAIR: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Media:
    type: str
    """In lower case."""
    parameters: Mapping[str, str]
    """By their names in lower case; the values as they were meant, without quotes."""

    def get(self, name: str) -> str:
        """The parameter's value in lower case; empty where there is none."""
        return self.parameters.get(name, "").lower()


def parse(field: str) -> Media:
    """Raises UnsupportedMediaType for anything that is not a media type."""
    match = _TYPE.match(field.strip(" \t")) if len(field) <= MAX_LENGTH else None
    if match is None:
        raise UnsupportedMediaType()
    parameters: dict[str, str] = {}
    at = match.end()
    while parameter := _PARAMETER.match(match.string, at):
        name, token, quoted = parameter.groups()
        if name.lower() in parameters:
            raise UnsupportedMediaType()
        parameters[name.lower()] = token or _PAIR.sub(r"\1", quoted)
        at = parameter.end()
    if _END.fullmatch(match.string, at) is None:
        raise UnsupportedMediaType()
    return Media(match[0].lower(), parameters)
