"""STS: temporary keys for roles that exist and trust the caller."""

import re
from calendar import timegm
from xml.sax.saxutils import escape

from . import moto_app
from .answers import Answer, Refusal, request_id
from .keys import MANAGEMENT, ROLES, WEB_IDENTITY_TOKEN, AccessKey

_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/([\w+=,.@-]{1,64})")

# The rights of a role in a member account.
_MEMBER = frozenset({"organizations", "sts"})


def assume_role(call, body):
    """Gives temporary keys to the management account of the role's account.

    Raises a refusal if the role does not exist or does not trust the caller.
    """
    account, role = _role(call)
    partition = call.endpoint.partition
    if call.caller.account != MANAGEMENT[partition] or call.caller.is_member:
        raise _denied(call.caller.arn, call)
    if account == MANAGEMENT[partition]:
        rights = ROLES.get(role)
    else:
        rights = _MEMBER if role in _member_roles(call, account) else None
    if rights is None:
        raise _denied(call.caller.arn, call)
    return _assume(call, body, account, role, rights)


def assume_role_with_web_identity(call, body):
    """Gives temporary keys for an identity token, without a signature."""
    account, role = _role(call)
    if call.parameters["WebIdentityToken"] != WEB_IDENTITY_TOKEN:
        raise Refusal("InvalidIdentityToken", "Couldn't verify the identity token.")
    if account != MANAGEMENT[call.endpoint.partition] or role not in ROLES:
        raise _denied("the web identity", call)
    return _assume(call, body, account, role, ROLES[role])


def get_caller_identity(call, body):
    """Returns the holder of the key."""
    text = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult><Arn>{escape(call.caller.arn)}</Arn>"
        f"<UserId>{escape(call.caller.id)}</UserId><Account>{call.caller.account}</Account>"
        f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id()}</RequestId>"
        "</ResponseMetadata></GetCallerIdentityResponse>"
    )
    return Answer(200, "text/xml", text.encode())


def _role(call):
    match = _ROLE.fullmatch(call.parameters["RoleArn"])
    if match is None or match[1] != call.endpoint.partition:
        raise Refusal("ValidationError", f"{call.parameters['RoleArn']} is invalid")
    return match[2], match[3]


def _member_roles(call, account):
    """Returns the roles of an account that trust the management account."""
    world, partition = call.world, call.endpoint.partition
    if account in world.gov_accounts and partition != "aws":
        return {world.gov_accounts[account].role}
    return {
        creation.parameters.get("RoleName", "OrganizationAccountAccessRole")
        for creation in world.creations.values()
        if creation.account == account and creation.partition == partition
    }


def _assume(call, body, account, role, rights):
    xml = moto_app.call_query(call.endpoint, call.caller.account, body)
    made = moto_app.last_role(account, call.endpoint.partition)
    call.world.keyring.add(
        AccessKey(
            id=made.access_key_id,
            secret=made.secret_access_key,
            partition=call.endpoint.partition,
            account=account,
            holder=f"{role}/{made.session_name}",
            services=rights,
            token=made.session_token,
            expires_at=timegm(made.expiration.timetuple()),
        )
    )
    return Answer(200, "text/xml", xml)


def _denied(who, call):
    arn = call.parameters["RoleArn"]
    text = f"{who} is not authorized to perform: sts:{call.operation} on resource: {arn}"
    return Refusal("AccessDeniedException", text)


OPERATIONS = {
    "AssumeRole": assume_role,
    "AssumeRoleWithWebIdentity": assume_role_with_web_identity,
    "GetCallerIdentity": get_caller_identity,
}
