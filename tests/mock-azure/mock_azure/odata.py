"""Filters of OData, as far as Graph's searches for users need them."""

import re

TOKENS = re.compile(r"\s*(?:('(?:[^']|'')*')|([A-Za-z][A-Za-z0-9/]*)|([():]))")


class Unsupported(Exception):
    """A filter outside of the part that is understood here."""


def parse(text):
    """Returns a function that says whether an object is in a filter.

    Understands `name eq 'text'`, `startswith(name,'text')`,
    `name/any(x:x eq 'text')`, `and`, `or` and parentheses. Raises
    `Unsupported` for anything else.
    """
    parser = Parser(text)
    rule = parser.either()
    if parser.rest:
        raise Unsupported(text)
    return rule


class Parser:
    """Reads a filter from the left."""

    def __init__(self, text):
        self.text = text
        self.rest = self.split(text.replace(",", " , "))

    def split(self, text):
        found, at = [], 0
        text = text.rstrip()
        while at < len(text):
            token = TOKENS.match(text, at) or re.compile(r"\s*(,)").match(text, at)
            if token is None:
                raise Unsupported(self.text)
            found.append(token[0].strip())
            at = token.end()
        return found

    def take(self, *wanted):
        """Takes the next token, which must be one of some, if any are given."""
        token = self.rest.pop(0) if self.rest else ""
        if not token or (wanted and token.lower() not in wanted):
            raise Unsupported(self.text)
        return token

    def next_is(self, token):
        return bool(self.rest) and self.rest[0].lower() == token

    def either(self):
        rules = [self.both()]
        while self.next_is("or"):
            self.take()
            rules.append(self.both())
        return lambda item: any(rule(item) for rule in rules)

    def both(self):
        rules = [self.one()]
        while self.next_is("and"):
            self.take()
            rules.append(self.one())
        return lambda item: all(rule(item) for rule in rules)

    def one(self):
        if self.next_is("("):
            self.take()
            rule = self.either()
            self.take(")")
            return rule
        name = self.take()
        if name.lower() == "startswith":
            self.take("(")
            name = self.take()
            self.take(",")
            text = self.text_value()
            self.take(")")
            return lambda item: str(item.get(name) or "").lower().startswith(text)
        if name.lower().endswith("/any"):
            return self.any(name[: -len("/any")])
        self.take("eq")
        text = self.text_value()
        return lambda item: str(item.get(name) or "").lower() == text

    def any(self, name):
        self.take("(")
        variable = self.take()
        self.take(":")
        self.take(variable.lower())
        self.take("eq")
        text = self.text_value()
        self.take(")")
        return lambda item: text in [value.lower() for value in item.get(name) or []]

    def text_value(self):
        token = self.take()
        if not token.startswith("'"):
            raise Unsupported(self.text)
        # A quote in a text is doubled. Addresses compare in any case.
        return token[1:-1].replace("''", "'").lower()
