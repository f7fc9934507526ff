"""Accounts: their creation, which takes time and can fail, and their lists."""

from moto.organizations.utils import make_random_account_id

from . import faults
from .answers import Refusal
from .endpoints import COMMERCIAL, GOVCLOUD
from .organizations import account, check_tags
from .pages import page
from .world import Creation, GovAccount

DEFAULT_ROLE = "OrganizationAccountAccessRole"


def create_account(call):
    """Begins the creation of an account."""
    return _begin(call, govcloud=False)


def create_gov_cloud_account(call):
    """Begins the creation of a commercial account and its pair in GovCloud."""
    if call.endpoint.partition != COMMERCIAL:
        text = "This operation can be called only in the commercial partition."
        raise Refusal("UnsupportedAPIEndpointException", text)
    return _begin(call, govcloud=True)


def _begin(call, govcloud):
    world, partition = call.world, call.endpoint.partition
    check_tags(call.parameters.get("Tags", []), {})
    running = [c for c in world.creations.values() if c.state == "IN_PROGRESS"]
    if sum(c.partition == partition for c in running) >= world.settings["creations_max"]:
        raise Refusal(
            "ConstraintViolationException",
            "You have too many account creations in progress. Try again later.",
            Reason="ACCOUNT_CREATION_RATE_LIMIT_EXCEEDED",
        )
    email = call.parameters["Email"].lower()
    failure = call.failure(faults.CREATION_FAILS)
    if email in _emails(world) | {c.parameters["Email"].lower() for c in running}:
        failure = "EMAIL_ALREADY_EXISTS"
    creation = Creation(
        id=world.id("car-", 32),
        partition=partition,
        parameters=call.parameters,
        govcloud=govcloud,
        requested_at=world.now(),
        polls_left=world.settings["creation_polls"],
        failure=failure,
    )
    world.creations[creation.id] = creation
    return {"CreateAccountStatus": _status(creation)}


def _emails(world):
    # Unique over all of AWS; the two accounts of a pair share one.
    emails = {account.email.lower() for account in world.gov_accounts.values()}
    for partition in (COMMERCIAL, GOVCLOUD):
        accounts = world.organization(partition).accounts
        emails |= {account.email.lower() for account in accounts}
    return emails


def describe_create_account_status(call):
    """Returns the state of a creation. Each call brings it closer to its end."""
    creation = call.world.creations.get(call.parameters["CreateAccountRequestId"])
    if creation is None or creation.partition != call.endpoint.partition:
        text = "You specified a create account request that doesn't exist."
        raise Refusal("CreateAccountStatusNotFoundException", text)
    if creation.state == "IN_PROGRESS":
        if creation.polls_left > 0:
            creation.polls_left -= 1
        else:
            complete(call.world, creation)
    return {"CreateAccountStatus": _status(creation)}


def list_create_account_status(call):
    """Returns a page of creations."""
    states = call.parameters.get("States", ["IN_PROGRESS", "SUCCEEDED", "FAILED"])
    creations = [
        _status(creation)
        for creation in call.world.creations.values()
        if creation.state in states and creation.partition == call.endpoint.partition
    ]
    return page(call, creations, "CreateAccountStatuses")


def complete(world, creation):
    """Ends a creation: makes the account, or lets the creation fail."""
    creation.completed_at = world.now()
    if creation.failure is not None:
        creation.state = "FAILED"
        return
    organization = world.organization(creation.partition)
    organization.create_account(**creation.parameters)
    made = organization.accounts[-1]
    creation.account = made.id
    world.activations[creation.partition, made.id] = world.settings["activation_polls"]
    if creation.govcloud:
        pair = GovAccount(
            id=make_random_account_id(),
            email=made.email,
            name=made.name,
            role=creation.parameters.get("RoleName", DEFAULT_ROLE),
            commercial=made.id,
        )
        world.gov_accounts[pair.id] = pair
        creation.gov_account = pair.id
    creation.state = "SUCCEEDED"


def _status(creation):
    return {
        "Id": creation.id,
        "AccountName": creation.parameters["AccountName"],
        "State": creation.state,
        "RequestedTimestamp": round(creation.requested_at, 3),
        "CompletedTimestamp": creation.completed_at and round(creation.completed_at, 3),
        "AccountId": creation.account,
        "GovCloudAccountId": creation.gov_account,
        "FailureReason": creation.failure if creation.state == "FAILED" else None,
    }


def describe_account(call):
    """Returns an account."""
    return {"Account": _shown(call, account(call, call.parameters["AccountId"]))}


def list_accounts(call):
    """Returns a page of all accounts."""
    return _listed(call, call.organization.accounts)


def list_accounts_for_parent(call):
    """Returns a page of the accounts below a parent."""
    parent = call.parameters["ParentId"]
    if all(unit.id != parent for unit in call.organization.ou):
        raise Refusal("ParentNotFoundException", "You specified parent that doesn't exist.")
    return _listed(call, [a for a in call.organization.accounts if a.parent_id == parent])


def _listed(call, accounts):
    answer = page(call, accounts, "Accounts")
    # Only an account that is shown gets closer to its activation.
    answer["Accounts"] = [_shown(call, account) for account in answer["Accounts"]]
    return answer


def _shown(call, account):
    described = account.describe()
    key = (call.endpoint.partition, account.id)
    left = call.world.activations.get(key, 0)
    if left > 0 and described["State"] == "ACTIVE":
        described["State"] = "PENDING_ACTIVATION"
        call.world.activations[key] = left - 1
    return described


OPERATIONS = {
    "CreateAccount": create_account,
    "CreateGovCloudAccount": create_gov_cloud_account,
    "DescribeCreateAccountStatus": describe_create_account_status,
    "ListCreateAccountStatus": list_create_account_status,
    "DescribeAccount": describe_account,
    "ListAccounts": list_accounts,
    "ListAccountsForParent": list_accounts_for_parent,
}
