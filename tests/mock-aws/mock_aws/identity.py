"""Identity Center: users, groups, memberships, and assignments that take time."""

from moto.ssoadmin.models import AccountAssignment

from . import faults
from .answers import Refusal
from .moto_app import mock_random
from .pages import PAGE_SIZE_MAX, page
from .world import Assignment


def create_group_membership(call):
    """Refuses a second membership, which moto accepts."""
    store = call.world.identity_store(call.endpoint.partition)
    group, member = call.parameters["GroupId"], call.parameters["MemberId"]
    for known in store.group_memberships.values():
        if known["GroupId"] == group and known["MemberId"] == member:
            raise Refusal(
                "ConflictException",
                "Member and Group relationship already exists.",
                Reason="UNIQUENESS_CONSTRAINT_VIOLATION",
            )
    return call.moto()


def moto_store(call):
    """Returns the answer of moto. Refuses unknown stores, which moto makes."""
    known = call.world.identity_center(call.endpoint.partition).instances[0]
    if call.parameters["IdentityStoreId"] != known.identity_store_id:
        raise Refusal(
            "ResourceNotFoundException",
            "IDENTITY_STORE not found.",
            ResourceType="IDENTITY_STORE",
        )
    own = {"CreateGroupMembership": create_group_membership}.get(call.operation)
    answer = own(call) if own else call.moto(_with_page_size(call))
    shape = call.endpoint.operation(call.operation).output_shape
    return _completed(shape, answer, call.endpoint.partition)


def _completed(shape, value, partition):
    """Adds required ARNs and revisions, which moto does not know."""
    if value is None:
        return None
    if shape.type_name == "list":
        return [_completed(shape.member, item, partition) for item in value]
    if shape.type_name != "structure":
        return value
    whole = {
        name: _completed(shape.members[name], member, partition)
        for name, member in value.items()
        # An optional list is not empty in the model.
        if member != [] or name in shape.required_members
    }
    for name in shape.required_members:
        if name in whole:
            continue
        if name == "Revision":
            whole[name] = "1"
        kind = name.removesuffix("Arn")
        if f"{kind}Id" in whole:
            id = whole[f"{kind}Id"]
            whole[name] = f"arn:{partition}:identitystore:::{kind.lower()}/{id}"
    return whole


def moto_center(call):
    """Returns the answer of moto."""
    return call.moto(_with_page_size(call))


def _with_page_size(call):
    shape = call.endpoint.operation(call.operation).input_shape
    if "MaxResults" not in shape.members:
        return call.parameters
    size = min(call.parameters.get("MaxResults", PAGE_SIZE_MAX), call.world.settings["page_size"])
    return {**call.parameters, "MaxResults": size}


def create_account_assignment(call):
    """Begins an assignment."""
    world, partition, asked = call.world, call.endpoint.partition, call.parameters
    _check_instance(call)
    organization = world.organization(partition)
    if all(account.id != asked["TargetId"] for account in organization.accounts):
        raise _not_found(f"Account {asked['TargetId']} is not in the organization.")
    if world.activations.get((partition, asked["TargetId"]), 0) > 0:
        text = f"Account {asked['TargetId']} is not active yet. Try again."
        raise Refusal("ConflictException", text)
    sets = world.identity_center(partition).permission_sets
    if all(known.permission_set_arn != asked["PermissionSetArn"] for known in sets):
        raise _not_found("Could not find the permission set.")
    store = world.identity_store(partition)
    principals = store.groups if asked["PrincipalType"] == "GROUP" else store.users
    if asked["PrincipalId"] not in principals:
        raise _not_found(f"{asked['PrincipalType']} not found.")
    assignment = Assignment(
        id=str(mock_random.uuid4()),
        partition=partition,
        parameters=asked,
        requested_at=world.now(),
        polls_left=world.settings["assignment_polls"],
        failure=call.failure(faults.ASSIGNMENT_FAILS),
    )
    world.assignments[assignment.id] = assignment
    return {"AccountAssignmentCreationStatus": _status(assignment)}


def describe_account_assignment_creation_status(call):
    """Returns the state of an assignment. Each call brings it closer to its end."""
    _check_instance(call)
    id = call.parameters["AccountAssignmentCreationRequestId"]
    assignment = call.world.assignments.get(id)
    if assignment is None or assignment.partition != call.endpoint.partition:
        raise _not_found("Could not find the request.")
    if assignment.state == "IN_PROGRESS":
        if assignment.polls_left > 0:
            assignment.polls_left -= 1
        else:
            complete(call.world, assignment)
    return {"AccountAssignmentCreationStatus": _status(assignment)}


def complete(world, assignment):
    """Ends an assignment. One that exists already is not made again."""
    if assignment.failure is not None:
        assignment.state = "FAILED"
        return
    asked = assignment.parameters
    made = AccountAssignment(
        asked["InstanceArn"],
        asked["TargetId"],
        asked["TargetType"],
        asked["PermissionSetArn"],
        asked["PrincipalType"],
        asked["PrincipalId"],
    )
    present = world.identity_center(assignment.partition).account_assignments
    if all(known.to_json() != made.to_json() for known in present):
        present.append(made)
    assignment.state = "SUCCEEDED"


def list_account_assignments(call):
    """Returns a page of the assignments of an account."""
    _check_instance(call)
    asked = call.parameters
    found = [
        {
            "AccountId": known.target_id,
            "PermissionSetArn": known.permission_set_arn,
            "PrincipalType": known.principal_type,
            "PrincipalId": known.principal_id,
        }
        for known in call.world.identity_center(call.endpoint.partition).account_assignments
        if known.target_id == asked["AccountId"]
        and known.permission_set_arn == asked["PermissionSetArn"]
    ]
    return page(call, found, "AccountAssignments")


def _check_instance(call):
    instance = call.world.identity_center(call.endpoint.partition).instances[0]
    if call.parameters["InstanceArn"] != instance.instance_arn:
        raise _not_found("Could not find the instance.")


def _status(assignment):
    return {
        "Status": assignment.state,
        "RequestId": assignment.id,
        "FailureReason": assignment.failure if assignment.state == "FAILED" else None,
        **{k: v for k, v in assignment.parameters.items() if k != "InstanceArn"},
        "CreatedDate": round(assignment.requested_at, 3),
    }


def _not_found(text):
    return Refusal("ResourceNotFoundException", text)


OPERATIONS = {
    "CreateAccountAssignment": create_account_assignment,
    "DescribeAccountAssignmentCreationStatus": describe_account_assignment_creation_status,
    "ListAccountAssignments": list_account_assignments,
}
