"""Why CXone refused a message, as far as its answer may be quoted."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from cxone_messaging.adapters.cxone.http import Answer
from cxone_messaging.adapters.cxone.json_answers import document
from cxone_messaging.domain.sms import Sms
from cxone_messaging.domain.written_numbers import mask_numbers_in

_CODE_NAMES = ("errorCode", "code", "error")
# A name with no more than three digits in a row, or a short number: neither a phone number nor a one-time password.
_CODE = re.compile(r"(?!.*[0-9]{4})[A-Za-z][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*|[0-9]{1,5}", re.ASCII)
_CODE_LIMIT = 64
_FIELD = re.compile(r"([A-Za-z]+)(?![^.\[])", re.ASCII)
_EXPLANATIONS_LIMIT = 5


def refusal_reason(answer: Answer, sms: Sms, fields: Collection[str]) -> str:
    """Return why CXone refused a message: the status, CXone's own codes, and the names of our `fields`.

    Sentences are left out, because they may quote the number or the text. A code that is a part of either is left out
    too.
    """
    found: list[str] = []
    for each in _errors(document(answer.body)):
        code = next((code for name in _CODE_NAMES if (code := _code(each.get(name), sms))), "")
        part = ": ".join(each for each in (_field(each.get("field"), fields), code) if each)
        if part and part not in found:
            found.append(part)
    explained = f" ({', '.join(found[:_EXPLANATIONS_LIMIT])})" if found else ""
    return f"CXone answered {answer.status}{explained}"


def _field(name: object, fields: Collection[str]) -> str:
    """Return the name of the field of ours that a path such as `to[0]` begins with; empty if there is none."""
    found = _FIELD.match(name) if isinstance(name, str) else None
    return found[1] if found and found[1] in fields else ""


def _errors(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield each object that may describe an error: the answer, its `error`, the items of `errors`."""
    yield document
    listed = document.get("errors")
    for each in (document.get("error"), *(listed if isinstance(listed, list) else ())):
        if isinstance(each, dict):
            yield each


def _code(value: object, sms: Sms) -> str | None:
    """Return a value that looks like a code and is not a part of the message; otherwise None."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if len(text) > _CODE_LIMIT or not _CODE.fullmatch(text) or mask_numbers_in(text) != text:
        return None
    return None if text.casefold() in sms.text.casefold() or text in sms.to.e164 else text
