"""Handshakes: invitations of accounts to an organization, which moto lacks."""

from dataclasses import dataclass

from moto.organizations.models import FakeAccount, organizations_backends

from .answers import Refusal
from .pages import page

# The time after which an invitation expires: 15 days.
VALID_SECONDS = 15 * 24 * 3600

# The period of the limit of invitations.
DAY_SECONDS = 24 * 3600


@dataclass
class Handshake:
    """An invitation of an account."""

    id: str
    partition: str
    account: str
    notes: str | None
    tags: list
    requested_at: float
    state: str = "OPEN"


def invite_account_to_organization(call):
    """Invites an account that is in no organization yet."""
    target, world = call.parameters["Target"], call.world
    id, partition = target["Id"], call.endpoint.partition
    if target["Type"] != "ACCOUNT":
        raise Refusal(
            "InvalidInputException",
            "The mock invites by account id only.",
            Reason="INVALID_PARTY_TYPE_TARGET",
        )
    if any(account.id == id for account in call.organization.accounts):
        raise _constraint("ALREADY_IN_AN_ORGANIZATION", "The account is a member already.")
    if id not in world.gov_accounts or partition == "aws":
        raise Refusal(
            "InvalidInputException",
            "You specified an account that doesn't exist.",
            Reason="INVALID_PATTERN_TARGET_ID",
        )
    present = [h for h in world.handshakes.values() if h.partition == partition]
    if any(h.account == id and state_of(h, world.now()) == "OPEN" for h in present):
        text = "There is already an open handshake with the account."
        raise Refusal("DuplicateHandshakeException", text)
    recent = [h for h in present if h.requested_at > world.now() - DAY_SECONDS]
    if len(recent) >= world.settings["invitations_max"]:
        raise _constraint("HANDSHAKE_RATE_LIMIT_EXCEEDED", "Too many invitations today.")
    handshake = Handshake(
        id=world.id("h-", 32),
        partition=partition,
        account=id,
        notes=call.parameters.get("Notes"),
        tags=call.parameters.get("Tags", []),
        requested_at=world.now(),
    )
    world.handshakes[handshake.id] = handshake
    return {"Handshake": _shown(call, handshake)}


def accept_handshake(call):
    """Lets the invited account join. Only that account can accept."""
    handshake = _handshake(call)
    if call.caller.account != handshake.account:
        text = "You don't have permissions to access this resource."
        raise Refusal("AccessDeniedException", text)
    _change(call, handshake, "ACCEPTED")
    _join(call, call.world.gov_accounts[handshake.account], handshake)
    return {"Handshake": _shown(call, handshake)}


def decline_handshake(call):
    """Declines an invitation. Only the invited account can decline."""
    handshake = _handshake(call)
    if call.caller.account != handshake.account:
        text = "You don't have permissions to access this resource."
        raise Refusal("AccessDeniedException", text)
    _change(call, handshake, "DECLINED")
    return {"Handshake": _shown(call, handshake)}


def cancel_handshake(call):
    """Cancels an invitation."""
    handshake = _handshake(call)
    _change(call, handshake, "CANCELED")
    return {"Handshake": _shown(call, handshake)}


def describe_handshake(call):
    """Returns an invitation."""
    return {"Handshake": _shown(call, _handshake(call))}


def list_handshakes_for_organization(call):
    """Returns a page of the invitations that the organization sent."""
    return _listed(call, lambda handshake: True)


def list_handshakes_for_account(call):
    """Returns a page of the invitations that the account of the caller got."""
    return _listed(call, lambda handshake: handshake.account == call.caller.account)


def _listed(call, fits):
    wanted = call.parameters.get("Filter", {}).get("ActionType", "INVITE")
    shown = [
        _shown(call, handshake)
        for handshake in call.world.handshakes.values()
        if handshake.partition == call.endpoint.partition and fits(handshake)
    ]
    return page(call, shown if wanted == "INVITE" else [], "Handshakes")


def _handshake(call):
    handshake = call.world.handshakes.get(call.parameters["HandshakeId"])
    if handshake is None or handshake.partition != call.endpoint.partition:
        text = "You specified a handshake that doesn't exist."
        raise Refusal("HandshakeNotFoundException", text)
    # Others must not learn that the handshake exists.
    if call.caller.is_member and call.caller.account != handshake.account:
        text = "You don't have permissions to access this resource."
        raise Refusal("AccessDeniedException", text)
    return handshake


def _change(call, handshake, state):
    present = state_of(handshake, call.world.now())
    if present == state:
        text = f"The handshake is already {state}."
        raise Refusal("HandshakeAlreadyInStateException", text)
    if present != "OPEN":
        text = f"The handshake is {present}."
        raise Refusal("InvalidHandshakeTransitionException", text)
    handshake.state = state


def state_of(handshake, now):
    """Returns the state of a handshake, which may have expired."""
    expired = handshake.state == "OPEN" and now > handshake.requested_at + VALID_SECONDS
    return "EXPIRED" if expired else handshake.state


def _join(call, gov_account, handshake):
    organization = call.organization
    joined = FakeAccount(
        organization.org,
        AccountName=gov_account.name,
        Email=gov_account.email,
        RoleName=gov_account.role,
        Tags=handshake.tags,
    )
    joined.id = gov_account.id
    joined.joined_method = "INVITED"
    organization.accounts.append(joined)
    owner = (organization.account_id, call.endpoint.partition)
    organizations_backends.master_accounts[joined.id] = owner


def _shown(call, handshake):
    organization = call.organization.org
    resources = [
        {
            "Type": "ORGANIZATION",
            "Value": organization.id,
            "Resources": [
                {"Type": "MASTER_EMAIL", "Value": organization.master_account_email},
                {"Type": "ORGANIZATION_FEATURE_SET", "Value": organization.feature_set},
            ],
        },
        {"Type": "ACCOUNT", "Value": handshake.account},
    ]
    if handshake.notes is not None:
        resources.append({"Type": "NOTES", "Value": handshake.notes})
    owner = organization.master_account_id
    arn = (
        f"arn:{handshake.partition}:organizations::{owner}:handshake/{organization.id}"
        f"/invite/{handshake.id}"
    )
    return {
        "Id": handshake.id,
        "Arn": arn,
        "Parties": [
            {"Id": organization.id, "Type": "ORGANIZATION"},
            {"Id": handshake.account, "Type": "ACCOUNT"},
        ],
        "State": state_of(handshake, call.world.now()),
        "RequestedTimestamp": round(handshake.requested_at, 3),
        "ExpirationTimestamp": round(handshake.requested_at + VALID_SECONDS, 3),
        "Action": "INVITE",
        "Resources": resources,
    }


def _constraint(reason, text):
    return Refusal("HandshakeConstraintViolationException", text, Reason=reason)


# The operations that a role in an account outside of the organization can use.
MEMBER_OPERATIONS = {
    "AcceptHandshake",
    "DeclineHandshake",
    "DescribeHandshake",
    "ListHandshakesForAccount",
    "DescribeOrganization",
}

OPERATIONS = {
    "InviteAccountToOrganization": invite_account_to_organization,
    "AcceptHandshake": accept_handshake,
    "DeclineHandshake": decline_handshake,
    "CancelHandshake": cancel_handshake,
    "DescribeHandshake": describe_handshake,
    "ListHandshakesForOrganization": list_handshakes_for_organization,
    "ListHandshakesForAccount": list_handshakes_for_account,
}
