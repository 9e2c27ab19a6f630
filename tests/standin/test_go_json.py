"""What was captured of rtcd where a body is none, and where it is one."""

from __future__ import annotations

import re

import pytest

from calls_doctor.standin import go_json
from calls_doctor.standin.go_json import GoJsonError


@pytest.mark.parametrize(("body", "sentence"), [
    (b"", "EOF"), (b" \n", "EOF"), (b"{", "unexpected EOF"), (b'{"a": "b"', "unexpected EOF"),
    (b"xx", "invalid character 'x' looking for beginning of value"),
    (b"{nope", "invalid character 'n' looking for beginning of object key string"),
    (b'{"clientID": 1}', "json: cannot unmarshal number into Go value of type string"),
    (b'{"a": {}}', "json: cannot unmarshal object into Go value of type string"),
    (b"[]", "json: cannot unmarshal array into Go value of type map[string]string"),
    (b"true", "json: cannot unmarshal bool into Go value of type map[string]string"),
    (b"[" * 100_000, "exceeded max depth"), (b'{"a": tru', "invalid character"),
])  # fmt: skip
def test_what_is_no_object_of_texts_is_called_as_go_calls_it(body: bytes, sentence: str) -> None:
    with pytest.raises(GoJsonError, match=f"^{re.escape(sentence)}$"):
        go_json.texts(body)


@pytest.mark.parametrize(("body", "texts"), [
    (b"{}", {}), (b"null", {}), (b' {"a": "b"} and more', {"a": "b"}), (b'{"a": null}', {"a": ""}),
    (b'{"a": "\\ud800"}', {"a": "�"}), (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    (b'{"a": "\xff"}', {"a": "�"}),
])  # fmt: skip
def test_what_is_one_is_read(body: bytes, texts: dict[str, str]) -> None:
    assert go_json.texts(body) == texts
