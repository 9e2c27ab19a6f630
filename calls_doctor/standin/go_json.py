"""What Go's encoding/json says of a body that is to be an object of texts: rtcd hands its sentences on.

Of the many sentences those are here that a client can be expected to meet; others are `invalid character`, which is how
they begin.
"""

from __future__ import annotations

import json
import re
from typing import Any  # JSON

_SPACE = " \t\r\n"
_KINDS = {bool: "bool", int: "number", float: "number", list: "array", dict: "object", str: "string"}
_NOT_A_KEY = re.compile(r'\{[ \t\r\n]*([^"} \t\r\n])')
_VALUE_BEGINS = '{["-0123456789tfn'


class GoJsonError(ValueError):
    """The sentence is Go's."""


def texts(body: bytes) -> dict[str, str]:
    """The object's texts; what follows it is not looked at, and null is "". Raises GoJsonError."""
    said = body.decode(errors="replace").lstrip(_SPACE)
    if not said:
        raise GoJsonError("EOF")
    if said[0] not in _VALUE_BEGINS:
        raise GoJsonError(f"invalid character '{said[0]}' looking for beginning of value")
    no_key = _NOT_A_KEY.match(said)
    if no_key:
        raise GoJsonError(f"invalid character '{no_key[1]}' looking for beginning of object key string")
    try:
        value: Any
        value, _ = json.JSONDecoder().raw_decode(said)
    except json.JSONDecodeError as error:
        raise GoJsonError("unexpected EOF" if error.pos >= len(said) else "invalid character") from None
    except RecursionError:
        raise GoJsonError("exceeded max depth") from None
    return _texts(value)


def _texts(value: Any) -> dict[str, str]:  # JSON
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise GoJsonError(f"json: cannot unmarshal {_KINDS[type(value)]} into Go value of type map[string]string")
    for one in value.values():
        if one is not None and not isinstance(one, str):
            raise GoJsonError(f"json: cannot unmarshal {_KINDS[type(one)]} into Go value of type string")
    return {name: _whole(one or "") for name, one in value.items()}


def _whole(text: str) -> str:
    """Half of a pair that stands for one character becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
