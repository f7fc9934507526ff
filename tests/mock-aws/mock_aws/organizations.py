"""AWS Organizations: organizational units, tags, and the places of accounts."""

from .answers import Refusal
from .pages import page

# Limits of AWS Organizations.
DEPTH_MAX = 5
TAGS_MAX = 50


def create_organizational_unit(call):
    """Refuses a second unit of a name below one parent, which moto accepts."""
    parent, name = call.parameters["ParentId"], call.parameters["Name"]
    _unit(call, parent, "ParentNotFoundException")
    if any(u.parent_id == parent and u.name == name for u in call.organization.ou):
        raise _duplicate_unit()
    if len(_ancestors(call, parent)) > DEPTH_MAX:
        raise _constraint("OU_DEPTH_LIMIT_EXCEEDED", "The organization is too deep.")
    check_tags(call.parameters.get("Tags", []), {})
    answer = call.moto()
    return {"OrganizationalUnit": _with_path(call, answer["OrganizationalUnit"])}


def update_organizational_unit(call):
    """Renames a unit, if no sibling has the name."""
    unit = _unit(call, call.parameters["OrganizationalUnitId"])
    name = call.parameters.get("Name", unit.name)
    siblings = [u for u in call.organization.ou if u.parent_id == unit.parent_id]
    if any(u.name == name and u is not unit for u in siblings):
        raise _duplicate_unit()
    unit.name = name
    return {"OrganizationalUnit": _with_path(call, unit.describe()["OrganizationalUnit"])}


def delete_organizational_unit(call):
    """Refuses to delete a unit that is not empty, which moto deletes."""
    id = call.parameters["OrganizationalUnitId"]
    _unit(call, id)
    organization = call.organization
    if any(child.parent_id == id for child in organization.ou + organization.accounts):
        text = "The specified OU is not empty."
        raise Refusal("OrganizationalUnitNotEmptyException", text)
    return call.moto()


def describe_organizational_unit(call):
    """Adds the path, which moto lacks."""
    return {"OrganizationalUnit": _with_path(call, call.moto()["OrganizationalUnit"])}


def list_organizational_units_for_parent(call):
    """Returns a page of the units below a parent."""
    parent = call.parameters["ParentId"]
    _unit(call, parent, "ParentNotFoundException")
    units = [u for u in call.organization.ou if u.parent_id == parent]
    units = [_with_path(call, unit.describe()["OrganizationalUnit"]) for unit in units]
    return page(call, units, "OrganizationalUnits")


def list_parents(call):
    """Returns the parent of a unit or an account."""
    child = call.parameters["ChildId"]
    organization = call.organization
    found = [c for c in organization.ou + organization.accounts if c.id == child]
    if not found:
        raise Refusal("ChildNotFoundException", "You specified a child that doesn't exist.")
    parents = [u for u in organization.ou if u.id == found[0].parent_id]
    return page(call, [{"Id": u.id, "Type": u.type} for u in parents], "Parents")


def list_children(call):
    """Returns a page of the units or the accounts below a parent."""
    parent, type = call.parameters["ParentId"], call.parameters["ChildType"]
    _unit(call, parent, "ParentNotFoundException")
    accounts = type == "ACCOUNT"
    children = call.organization.accounts if accounts else call.organization.ou
    ids = [{"Id": c.id, "Type": type} for c in children if c.parent_id == parent]
    return page(call, ids, "Children")


def move_account(call):
    """Moves an account. moto does not check where the account is."""
    source, destination = (
        call.parameters["SourceParentId"],
        call.parameters["DestinationParentId"],
    )
    _unit(call, destination, "DestinationParentNotFoundException")
    _unit(call, source, "SourceParentNotFoundException")
    moved = account(call, call.parameters["AccountId"])
    if moved.parent_id == destination:
        text = "The account is already in the destination."
        raise Refusal("DuplicateAccountException", text)
    if moved.parent_id != source:
        text = "The account is not in the source."
        raise Refusal("SourceParentNotFoundException", text)
    return call.moto()


def tag_resource(call):
    """Checks the limits of tags, which moto does not."""
    resource = _taggable(call, call.parameters["ResourceId"])
    check_tags(call.parameters["Tags"], resource.tags)
    return call.moto()


def list_tags_for_resource(call):
    """Returns a page of tags."""
    tags = _taggable(call, call.parameters["ResourceId"]).tags
    return page(call, [{"Key": k, "Value": v} for k, v in tags.items()], "Tags")


def check_tags(tags, present):
    """Raises a refusal if the tags cannot be added to those that are present."""
    keys = [tag["Key"] for tag in tags]
    if len(keys) != len({key.lower() for key in keys}):
        raise _invalid("DUPLICATE_TAG_KEY", "Duplicate tag keys were found.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise _invalid("INVALID_SYSTEM_TAGS_PARAMETER", "System tags cannot be added.")
    if len(set(present) | set(keys)) > TAGS_MAX:
        raise _constraint("MAX_TAG_LIMIT_EXCEEDED", "The resource has too many tags.")


def account(call, id):
    """Returns an account of the organization. Raises a refusal if there is none."""
    for known in call.organization.accounts:
        if known.id == id:
            return known
    text = "You specified an account that doesn't exist."
    raise Refusal("AccountNotFoundException", text)


def _unit(call, id, type="OrganizationalUnitNotFoundException"):
    for unit in call.organization.ou:
        if unit.id == id:
            return unit
    raise Refusal(type, "You specified an organizational unit that doesn't exist.")


def _taggable(call, id):
    organization = call.organization
    for resource in organization.ou + organization.accounts + organization.policies:
        if resource.id == id:
            return resource
    raise Refusal("TargetNotFoundException", "You specified a target that doesn't exist.")


def _ancestors(call, id):
    units = {unit.id: unit for unit in call.organization.ou}
    ids = []
    while id is not None:
        ids.insert(0, id)
        id = units[id].parent_id
    return ids


def _with_path(call, described):
    path = "/".join([call.organization.org.id, *_ancestors(call, described["Id"]), ""])
    return {**described, "Path": path}


def _duplicate_unit():
    text = "An OU with the same name already exists."
    return Refusal("DuplicateOrganizationalUnitException", text)


def _invalid(reason, text):
    return Refusal("InvalidInputException", text, Reason=reason)


def _constraint(reason, text):
    return Refusal("ConstraintViolationException", text, Reason=reason)


OPERATIONS = {
    "CreateOrganizationalUnit": create_organizational_unit,
    "UpdateOrganizationalUnit": update_organizational_unit,
    "DeleteOrganizationalUnit": delete_organizational_unit,
    "DescribeOrganizationalUnit": describe_organizational_unit,
    "ListOrganizationalUnitsForParent": list_organizational_units_for_parent,
    "ListParents": list_parents,
    "ListChildren": list_children,
    "MoveAccount": move_account,
    "TagResource": tag_resource,
    "ListTagsForResource": list_tags_for_resource,
}
