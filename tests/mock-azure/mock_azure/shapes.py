"""Holds bodies to shapes.json, which make_shapes.py makes from the SDK."""

import json
import re
from pathlib import Path

PACKAGES = json.loads((Path(__file__).parent / "shapes.json").read_text())

DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

KINDS = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "datetime": lambda value: isinstance(value, str) and DATETIME.fullmatch(value) is not None,
    "any": lambda value: True,
}


class Shape:
    """The shape of one model, such as `azure.mgmt.subscription:PutAliasRequest`."""

    def __init__(self, name):
        package, self.model = name.split(":")
        self.shapes = PACKAGES[package]["shapes"]

    def problems_of_request(self, value):
        """Returns what is wrong with the body of a request. Fields that the
        service does not know, or that only it may set, are wrong: clients
        have no reason to send them."""
        return self._model(self.model, value, "", request=True)

    def problems_of_answer(self, value):
        """Returns what is wrong with the body of an answer."""
        return self._model(self.model, value, "", request=False)

    def _model(self, name, value, at, request):
        return self._fields(self.shapes[name], value, at, request)

    def _fields(self, fields, value, at, request):
        if not isinstance(value, dict):
            return [f"'{at or '$'}' must be an object"]
        problems = []
        for name, inner in value.items():
            path = f"{at}.{name}" if at else name
            entry = fields.get(name)
            if entry is None:
                problems.append(f"Could not find member '{path}'")
            elif request and entry.get("readonly"):
                problems.append(f"'{path}' is read-only")
            else:
                problems += self._value(entry["type"], inner, path, request)
        if request:
            required = (name for name, entry in fields.items() if entry.get("required"))
            missing = (name for name in required if value.get(name) is None)
            problems += [
                f"Required property '{at and at + '.'}{name}' is missing" for name in missing
            ]
        return problems

    def _value(self, kind, value, at, request):
        if value is None:
            return []
        if isinstance(kind, str):
            return [] if KINDS[kind](value) else [f"'{at}' must be a {kind}"]
        if "enum" in kind:
            allowed = kind["enum"]
            return [] if value in allowed else [f"'{at}' must be one of {', '.join(allowed)}"]
        if "model" in kind:
            return self._model(kind["model"], value, at, request)
        if "fields" in kind:
            return self._fields(kind["fields"], value, at, request)
        if "list" in kind:
            if not isinstance(value, list):
                return [f"'{at}' must be an array"]
            items = [(f"{at}[{index}]", item) for index, item in enumerate(value)]
            return self._all(kind["list"], items, request)
        if not isinstance(value, dict):
            return [f"'{at}' must be an object"]
        items = [(f"{at}.{name}", item) for name, item in value.items()]
        return self._all(kind["map"], items, request)

    def _all(self, kind, items, request):
        return [problem for at, item in items for problem in self._value(kind, item, at, request)]
