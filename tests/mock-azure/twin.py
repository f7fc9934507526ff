"""Does an operation of HOTH with Microsoft's SDK, and prints the calls that the
mock recorded, for comparison with those of HOTH's adapter.

    python -m mock_azure > ready.json &
    python twin.py ADD_PORTFOLIO --ready ready.json
    python twin.py RECORDED --ready ready.json     # the calls of any client so far
    python twin.py STATE --ready ready.json        # what stands in the tenant now

The job's input is that of `wit/` (operations.md); `--input` replaces the
sample below, key by key, and `--settings` likewise. The names of management
groups, aliases and role assignments are UUIDs of version 5; so that they need
not be those of another client, every GUID is printed as `guid-N`, numbered in
the order of appearance. Calls for tokens are left out.
"""

import argparse
import calendar
import json
import re
import uuid
from urllib.parse import unquote

from azure.core.exceptions import HttpResponseError

import show
from sdk import Azure
from sdk import Control
from sdk import urls_of

GROUPS = "/providers/Microsoft.Management/managementGroups/"
NAMES = uuid.UUID("0d6a5a3c-6a39-4f5f-8f57-5d2c9a9f6b10")
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

# Attempts to assign a role to a guest whom ARM's directory does not know yet.
ATTEMPTS_MAX = 30

# Headers that mean something; the others name the client and the connection.
HEADERS = ["cache-control", "content-type", "if-match", "if-none-match"]

INPUT = {
    "jobId": "job-1",
    "portfolioId": "portfolio-1",
    "payload": {
        "name": "Sample",
        "taskOrders": [],
        "classificationLevel": "UNCLASSIFIED",
        "administrators": [{"email": "a.b@example.mil", "dodId": "1234567890"}],
    },
    "startDate": "2026-01",
    "endDate": "2026-03",
    "taskOrderNumber": "TO-1",
    "clin": "0001",
}

SETTINGS = {
    # The management group above all portfolios; the tenant's root if null.
    "parent": None,
    "billingScope": "/billingAccounts/1234/enrollmentAccounts/5678",
    "workload": "Production",
    "role": OWNER,
    "inviteRedirectUrl": "https://portal.azure.us",
}


def add_portfolio(azure, job, settings):
    parent = settings["parent"] or azure.urls["tenant"]
    properties = {
        "displayName": job["payload"]["name"],
        "details": {"parent": {"id": GROUPS + parent}},
    }
    groups = azure.groups.management_groups
    return groups.begin_create_or_update(
        name_of(job, "portfolio"), {"properties": properties}
    ).result()


def get_portfolio(azure, job, settings):
    return azure.groups.management_groups.get(job["portfolioId"], expand="children", recurse=True)


def add_environment(azure, job, settings):
    body = {
        "properties": {
            "displayName": job["payload"]["name"],
            "workload": settings["workload"],
            "billingScope": settings["billingScope"],
            "additionalProperties": {
                "managementGroupId": GROUPS + job["portfolioId"],
                "tags": job.get("tags", {"hoth-job": job["jobId"]}),
            },
        }
    }
    aliases = azure.aliases.alias
    made = aliases.begin_create(name_of(job, "environment"), body).result()
    scope = f"/subscriptions/{made.properties.subscription_id}"
    assign_all(azure, job["payload"].get("administrators") or [], scope, settings)


def add_operators(azure, job, settings):
    environment = job["payload"].get("environmentId")
    scope = f"/subscriptions/{environment}" if environment else GROUPS + job["portfolioId"]
    assign_all(azure, job["payload"]["administrators"], scope, settings)


def assign_all(azure, operators, scope, settings):
    for operator in operators:
        principal = user_of(azure, operator["email"], settings)
        assign(azure, principal, scope, settings["role"])


def user_of(azure, mail, settings):
    """Returns the id of a user; invites a guest if there is none."""
    text = mail.replace("'", "''")
    rule = f"mail eq '{text}' or otherMails/any(m:m eq '{text}')"
    found = azure.graph.get("/users", filter=rule, select="id,mail")["value"]
    if found:
        return found[0]["id"]
    invitation = azure.graph.post(
        "/invitations",
        {
            "invitedUserEmailAddress": mail,
            "inviteRedirectUrl": settings["inviteRedirectUrl"],
            "sendInvitationMessage": True,
        },
    )
    return invitation["invitedUser"]["id"]


def assign(azure, principal, scope, role):
    above = scope if scope.startswith("/subscriptions/") else ""
    properties = {
        "roleDefinitionId": f"{above}/providers/Microsoft.Authorization/roleDefinitions/{role}",
        "principalId": principal,
        "principalType": "User",
    }
    name = str(uuid.uuid5(NAMES, f"{scope}/{principal}/{role}"))
    for _ in range(ATTEMPTS_MAX):
        try:
            return azure.roles.role_assignments.create(scope[1:], name, {"properties": properties})
        except HttpResponseError as error:
            if error.error and error.error.code == "RoleAssignmentExists":
                return None
            if not error.error or error.error.code != "PrincipalNotFound":
                raise
    raise TimeoutError(f"no role for {principal} after {ATTEMPTS_MAX} attempts")


def cost_by_portfolio(azure, job, settings):
    """Asks for the costs of all marked subscriptions at once, by subscription."""
    marked = [id for id, mark in marks(azure, job) if mark]
    return costs(azure, job, marked, ["SubscriptionId"]) if marked else None


def cost_by_clin(azure, job, settings):
    """Sums over the subscriptions that carry the mark of the CLIN."""
    mark = f"{job['taskOrderNumber']}.{job['clin']}"
    marked = [id for id, found in marks(azure, job) if found == mark]
    return costs(azure, job, marked, []) if marked else None


def marks(azure, job):
    """Returns the subscriptions of a portfolio, each with the mark of its CLIN."""
    group = azure.groups.management_groups.get(job["portfolioId"], expand="children", recurse=True)
    inside = set(subscriptions_below(group.children or []))
    return [
        (item.subscription_id, (item.tags or {}).get("hoth-clin"))
        for item in azure.subscriptions.subscriptions.list()
        if item.subscription_id in inside
    ]


def subscriptions_below(children):
    for child in children:
        if child.type == "/subscriptions":
            yield child.name
        yield from subscriptions_below(child.children or [])


def costs(azure, job, subscriptions, groupings):
    dataset = {
        "granularity": "Monthly",
        "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
    }
    rule = {"name": "SubscriptionId", "operator": "In", "values": subscriptions}
    dataset["filter"] = {"dimensions": rule}
    if groupings:
        dataset["grouping"] = [{"type": "Dimension", "name": name} for name in groupings]
    period = {
        "from": f"{first_day(job['startDate'])}T00:00:00Z",
        "to": f"{last_day(job['endDate'])}T23:59:59Z",
    }
    body = {"type": "ActualCost", "timeframe": "Custom", "timePeriod": period, "dataset": dataset}
    # Bytes, because the SDK would write the times in another form.
    result = azure.costs.query.usage(GROUPS + job["portfolioId"], json.dumps(body).encode())
    while result is not None and result.next_link:
        # Further pages are POSTs of the same body, to a scope with a token.
        token = unquote(re.search(r"skiptoken=([^&]*)", result.next_link)[1])
        result = azure.costs.query.usage(
            GROUPS + job["portfolioId"], json.dumps(body).encode(), params={"$skiptoken": token}
        )


def first_day(text):
    return text if len(text) == 10 else f"{text}-01"


def last_day(text):
    if len(text) == 10:
        return text
    year, month = map(int, text.split("-"))
    return f"{text}-{calendar.monthrange(year, month)[1]}"


def name_of(job, purpose):
    return str(uuid.uuid5(NAMES, f"{job['jobId']}/{purpose}"))


OPERATIONS = {
    "ADD_PORTFOLIO": add_portfolio,
    "GET_PORTFOLIO": get_portfolio,
    "ADD_ENVIRONMENT": add_environment,
    "ADD_OPERATORS": add_operators,
    "COST_BY_PORTFOLIO": cost_by_portfolio,
    "COST_BY_CLIN": cost_by_clin,
}


def normalised(calls):
    """Returns calls without what differs between two clients that do the same."""
    shown = [
        {
            "service": call["service"],
            "operation": call["operation"],
            "method": call["method"],
            "path": call["path"],
            "query": sorted([name, shown_value(name, value)] for name, value in call["query"]),
            "headers": semantic(call["headers"]),
            "audience": (call["credential"] or {}).get("audience"),
            "body": call["body"] or None,
            "answer": call["answer"],
        }
        for call in calls
        if call["service"] != "token"
    ]
    return with_numbered_ids(shown)


def shown_value(name, value):
    # A token of a page is the server's, and has the ids of this run in it.
    return "token" if name.lower() == "$skiptoken" else value


def semantic(headers):
    found = {name: value for name, value in headers.items() if name in HEADERS}
    if "content-type" in found:
        found["content-type"] = found["content-type"].split(";")[0].strip().lower()
    return found


def with_numbered_ids(value):
    """Replaces each GUID by a number. That of the role Owner is the same in every
    tenant and stays."""
    numbers = {}
    guid = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"

    def number(found):
        if found[0].lower() == OWNER:
            return found[0]
        return numbers.setdefault(found[0].lower(), f"guid-{len(numbers) + 1}")

    text = re.sub(guid, number, json.dumps(value), flags=re.IGNORECASE)
    return json.loads(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("operation", choices=[*OPERATIONS, "RECORDED", "STATE"])
    parser.add_argument(
        "--ready", default="-", help="the mock's line: JSON, a file, or - for standard input"
    )
    parser.add_argument("--input", type=json.loads, default={})
    parser.add_argument("--settings", type=json.loads, default={})
    arguments = parser.parse_args()
    print(json.dumps(run(arguments), indent=2))


def run(arguments):
    """Returns what an operation prints."""
    urls = urls_of(arguments.ready)
    if arguments.operation == "STATE":
        return with_numbered_ids(show.tenant(Azure(urls)))
    control = Control(urls["control"])
    if arguments.operation == "RECORDED":
        return normalised(control.get("calls"))
    before = len(control.get("calls"))
    job = {**INPUT, **arguments.input}
    job["payload"] = {**INPUT["payload"], **arguments.input.get("payload", {})}
    OPERATIONS[arguments.operation](Azure(urls), job, {**SETTINGS, **arguments.settings})
    return normalised(control.get("calls")[before:])


if __name__ == "__main__":
    main()
