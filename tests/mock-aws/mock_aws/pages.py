"""Pages of lists, with opaque tokens that fit one list only."""

import base64
import hashlib
import json

from .answers import Refusal

# The most items on a page of Organizations.
PAGE_SIZE_MAX = 20


def page(call, items, key, *, token="NextToken"):
    """Returns the page of `items` that the parameters ask for, under `key`.

    With the setting `empty_pages`, the first page is empty and has a token. AWS
    documents that lists can do this.
    """
    settings = call.world.settings
    given = call.parameters.get(token)
    size = min(call.parameters.get("MaxResults", PAGE_SIZE_MAX), settings["page_size"])
    if given is None and settings["empty_pages"]:
        return {key: [], token: _encode(call, 0, token)}
    start = 0 if given is None else _decode(call, given, token)
    following = start + size
    answer = {key: items[start:following]}
    if following < len(items):
        answer[token] = _encode(call, following, token)
    return answer


def _question(call, token):
    asked = {k: v for k, v in call.parameters.items() if k not in (token, "MaxResults")}
    text = json.dumps([call.operation, call.caller.account, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _encode(call, start, token):
    text = json.dumps([_question(call, token), start])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(call, text, token):
    try:
        question, start = json.loads(base64.urlsafe_b64decode(text))
    except ValueError:
        raise _invalid(call.endpoint) from None
    if question != _question(call, token):
        if call.endpoint.service == "ce":
            raise Refusal("RequestChangedException", "The request changed between pages.")
        raise _invalid(call.endpoint)
    return start


def _invalid(endpoint):
    if endpoint.service == "organizations":
        text = "You provided an invalid value for the next token."
        return Refusal("InvalidInputException", text, Reason="INVALID_NEXT_TOKEN")
    if endpoint.service == "ce":
        return Refusal("InvalidNextTokenException", "The pagination token is invalid.")
    return Refusal("ValidationException", "The pagination token is invalid.")
