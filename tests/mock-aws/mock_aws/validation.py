"""Holds parameters and answers to the service models of botocore.

`ParamValidator` finds missing and unknown parameters and wrong types. It does
not check lengths, patterns and enumerations, which this module adds from the
same models.
"""

import json

import regex
from botocore.validate import ParamValidator

from .answers import Refusal

# The longest time for one pattern.
_PATTERN_SECONDS = 1

# The error types of parameters that break the model.
_TYPES = {"organizations": "InvalidInputException", "sts": "ValidationError"}


def check_input(endpoint, operation, parameters):
    """Raises a refusal if the parameters break the model of the operation."""
    shape = operation.input_shape
    if shape is None:
        return
    # The report has no other way to tell kinds of errors apart.
    errors = ParamValidator().validate(parameters, shape)._errors
    if any(kind == "invalid type" for kind, _, _ in errors):
        text = ParamValidator().validate(parameters, shape).generate_report()
        raise Refusal("SerializationException", text, frame=True)
    for kind, name, details in errors:
        if kind == "missing required field":
            missing = details.get("required_name", name)
            raise _invalid(endpoint, "INPUT_REQUIRED", missing, "is required")
        if kind in ("unknown field", "unknown"):
            unknown = details.get("unknown_param", name)
            raise _invalid(endpoint, "INVALID_PATTERN", unknown, "is not a parameter")
    for reason, name, text in _violations(shape, parameters, ""):
        raise _invalid(endpoint, reason, name, text)
    # The rest, such as two members of a union.
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise _invalid(endpoint, "INVALID_PATTERN", "input", report.generate_report())


def check_output(operation, answer):
    """Raises an error if an answer breaks the model: a defect of this mock."""
    shape = operation.output_shape
    if shape is None:
        assert answer == {}, f"{operation.name} has no output, not {answer}"
        return
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), f"{operation.name}: {report.generate_report()}"
    # The models of Organizations know the ARNs of the commercial partition only.
    known = json.dumps(answer).replace("arn:aws-us-gov:organizations:", "arn:aws:organizations:")
    for _, name, text in _violations(shape, json.loads(known), ""):
        raise AssertionError(f"{operation.name}: {name} {text}: {answer}")


def _invalid(endpoint, reason, name, text):
    message = f"1 validation error detected: Value at '{name}' {text}"
    members = {"Reason": reason} if endpoint.service == "organizations" else {}
    return Refusal(_TYPES.get(endpoint.service, "ValidationException"), message, **members)


def _violations(shape, value, name):
    if value is None:
        return
    if shape.type_name == "structure":
        for member, of in shape.members.items():
            if member in value:
                yield from _violations(of, value[member], f"{name}.{member}".lstrip("."))
    elif shape.type_name == "list":
        yield from _sizes(shape, len(value), name, "LENGTH")
        for index, item in enumerate(value):
            yield from _violations(shape.member, item, f"{name}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _violations(shape.key, key, name)
            yield from _violations(shape.value, item, f"{name}.{key}")
    elif shape.type_name == "string":
        yield from _sizes(shape, len(value), name, "LENGTH")
        if shape.enum and value not in shape.enum:
            yield "INVALID_ENUM", name, f"must be one of {', '.join(shape.enum)}"
        pattern = shape.metadata.get("pattern")
        if pattern and not regex.fullmatch(pattern, value, timeout=_PATTERN_SECONDS):
            yield "INVALID_PATTERN", name, f"must match {pattern}"
    elif shape.type_name in ("integer", "long"):
        yield from _sizes(shape, value, name, "VALUE")


def _sizes(shape, size, name, kind):
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"MIN_{kind}_EXCEEDED", name, f"must have at least {least}, not {size}"
    if most is not None and size > most:
        yield f"MAX_{kind}_EXCEEDED", name, f"must have at most {most}, not {size}"
