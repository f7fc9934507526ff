"""Makes mock_azure/shapes.json: the shapes of bodies, from the models of the
azure-mgmt packages.

    python make_shapes.py            writes the file
    python make_shapes.py --check    fails if the file is not what would be written

The packages have models of two kinds: older ones carry `_attribute_map` and
`_validation`, newer ones `_attr_to_rest_field` and annotations.
"""

import datetime
import decimal
import enum
import importlib
import json
import re
import sys
import typing
from pathlib import Path

# The models that the mock reads or writes; models inside them follow.
ROOTS = {
    "azure.mgmt.managementgroups": [
        "CreateManagementGroupRequest",
        "ManagementGroup",
        "ManagementGroupInfo",
        "SubscriptionUnderManagementGroup",
    ],
    "azure.mgmt.subscription": [
        "PutAliasRequest",
        "SubscriptionAliasResponse",
        "AcceptOwnershipStatusResponse",
    ],
    "azure.mgmt.resource.subscriptions": ["Subscription"],
    "azure.mgmt.resource.resources": ["TagsResource", "TagsPatchResource"],
    "azure.mgmt.authorization.v2022_04_01": ["RoleAssignmentCreateParameters", "RoleAssignment"],
    "azure.mgmt.costmanagement": ["QueryDefinition", "QueryResult"],
}

PLAIN = {
    "str": "string",
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "iso-8601": "datetime",
    "object": "any",
}

PLAIN_CLASSES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    decimal.Decimal: "number",
    datetime.datetime: "datetime",
    typing.Any: "any",
}


class Package:
    """Reads the models of one package into shapes."""

    def __init__(self, name):
        self.models = importlib.import_module(f"{name}.models")
        self.shapes = {}

    def add(self, name):
        if name in self.shapes:
            return
        model = getattr(self.models, name)
        self.shapes[name] = {}
        old = hasattr(model, "_attribute_map")
        fields = self.old_fields(model) if old else self.new_fields(model)
        self.shapes[name] = dict(sorted(fields.items()))

    def old_fields(self, model):
        documentation = descriptions(model.__doc__)
        fields = {}
        for attribute, entry in model._attribute_map.items():
            rules = model._validation.get(attribute, {})
            kind = self.old_type(entry["type"], documentation.get(attribute, ""))
            # A dot is a level of nesting; a dot of the name itself is escaped.
            levels = [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", entry["key"])]
            required = rules.get("required", False)
            readonly = rules.get("readonly", False)
            nest(fields, levels, field(kind, required, readonly))
        return fields

    def old_type(self, text, enumeration):
        if text.startswith("["):
            return {"list": self.old_type(text[1:-1], enumeration)}
        if text.startswith("{"):
            return {"map": self.old_type(text[1:-1], enumeration)}
        if text in PLAIN:
            # Older models name an enumeration only in their documentation.
            return self.enumeration(enumeration) or PLAIN[text]
        self.add(text)
        return {"model": text}

    def enumeration(self, name):
        found = getattr(self.models, name, None) if name else None
        if isinstance(found, type) and issubclass(found, enum.Enum):
            return {"enum": sorted(member.value for member in found)}
        return None

    def new_fields(self, model):
        # Instantiation resolves the annotations of the fields.
        model({})
        hints = {}
        for base in reversed(model.__mro__):
            hints.update(getattr(base, "__annotations__", {}))
        fields = {}
        for attribute, rest in model._attr_to_rest_field.items():
            hint = self.resolve(hints[attribute])
            optional = type(None) in typing.get_args(hint)
            readonly = rest._visibility == ["read"]
            kind = self.new_type(hint)
            fields[rest._rest_name] = field(kind, not optional and not readonly, readonly)
        return fields

    def resolve(self, hint):
        if not isinstance(hint, str):
            return hint
        names = vars(typing) | {
            "_models": self.models,
            "_types": self.models,
            "datetime": datetime,
            "decimal": decimal,
        }
        return eval(hint, names)

    def new_type(self, hint):
        hint = self.resolve(hint.__forward_arg__ if isinstance(hint, typing.ForwardRef) else hint)
        arguments = [part for part in typing.get_args(hint) if part is not type(None)]
        origin = typing.get_origin(hint)
        if origin is typing.Union:
            # An enumeration is Union[str, Enum].
            kinds = [self.new_type(part) for part in arguments]
            better = [kind for kind in kinds if kind != "string"]
            return better[0] if better else "string"
        if origin is typing.Literal:
            return {"enum": sorted(str(getattr(part, "value", part)) for part in arguments)}
        if origin is list:
            return {"list": self.new_type(arguments[0])}
        if origin is dict:
            return {"map": self.new_type(arguments[1])}
        if hint in PLAIN_CLASSES:
            return PLAIN_CLASSES[hint]
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return {"enum": sorted(member.value for member in hint)}
        self.add(hint.__name__)
        return {"model": hint.__name__}


def descriptions(documentation):
    """Returns the enumeration that the documentation names for each attribute."""
    found = re.findall(r":vartype (\w+): str or\s+~[\w.]+\.(\w+)", documentation or "")
    return dict(found)


def field(kind, required, readonly):
    entry = {"type": kind}
    if required:
        entry["required"] = True
    if readonly:
        entry["readonly"] = True
    return entry


def nest(fields, levels, entry):
    """Puts a flattened field into the objects that the wire has. The object is
    required if one of its fields is."""
    for level in levels[:-1]:
        outer = fields.setdefault(level, {"type": {"fields": {}}})
        if entry.get("required"):
            outer["required"] = True
        fields = outer["type"]["fields"]
    fields[levels[-1]] = entry


def make():
    made = {}
    for name, roots in ROOTS.items():
        package = Package(name)
        for root in roots:
            package.add(root)
        version = importlib.import_module(f"{name}._version").VERSION
        shapes = dict(sorted(package.shapes.items()))
        made[name] = {"version": version, "shapes": shapes}
    return json.dumps(made, indent=1, sort_keys=False) + "\n"


def main():
    file = Path(__file__).parent / "mock_azure" / "shapes.json"
    text = make()
    if "--check" in sys.argv[1:]:
        if file.read_text() != text:
            sys.exit(f"{file.name} is not what the packages give; run python make_shapes.py")
        return
    file.write_text(text)


if __name__ == "__main__":
    main()
