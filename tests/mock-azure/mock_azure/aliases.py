"""Microsoft.Subscription: aliases, by which subscriptions are made."""

import re
from dataclasses import dataclass

from .http import Refusal
from .http import Response
from .operations import Operation
from .provider import Provider
from .provider import group_name
from .provider import held
from .routes import Route
from .world import Subscription

VERSION = "2021-10-01"
PROVIDER = "/providers/Microsoft.Subscription"
MODELS = "azure.mgmt.subscription:"

# The forms of a billing scope that the model's documentation has: legacy
# Enterprise Agreement, customer-led or field-led, partner-led.
BILLING_SCOPES = [
    r"/billingAccounts/[^/]+/enrollmentAccounts/[^/]+",
    r"/billingAccounts/[^/]+/billingProfiles/[^/]+/invoiceSections/[^/]+",
    r"/billingAccounts/[^/]+/customers/[^/]+",
]
# The same scopes are also written with their provider.
BILLING_PROVIDER = r"(/providers/Microsoft\.Billing)?"

DISPLAY_NAME_MAX = 64


@dataclass
class Alias:
    """A name under which a client asked for a subscription."""

    name: str
    properties: dict
    operation: Operation | None = None
    # Azure makes the id while it works; it shows once the state is Succeeded.
    subscription_id: str | None = None
    ownership: str | None = None
    ownership_url: str | None = None
    ownership_polls_left: int | None = None

    @property
    def additional(self):
        return self.properties.get("additionalProperties") or {}


class Aliases(Provider):
    """Aliases of the tenant."""

    def routes(self):
        aliases = r"/providers/Microsoft\.Subscription/aliases"
        alias = aliases + r"/(?P<name>[^/]+)"
        ownership = r"/providers/Microsoft\.Subscription/subscriptions/(?P<id>[^/]+)"
        versions = (VERSION,)
        return [
            Route("GET", aliases, "aliases.list", self.list, versions),
            Route("GET", alias, "aliases.get", self.get, versions),
            Route("PUT", alias, "aliases.put", self.put, versions),
            Route(
                "GET",
                ownership + "/acceptOwnershipStatus",
                "acceptOwnershipStatus.get",
                self.ownership_status,
                versions,
            ),
        ]

    def list(self, request, caller):
        return Response(
            200, {"value": [self.resource(alias) for alias in self.tenant.aliases.values()]}
        )

    def get(self, request, caller, name):
        alias = self.tenant.aliases.get(name)
        if alias is None:
            raise Refusal(404, "SubscriptionAliasNotFound", f"The alias '{name}' was not found.")
        if alias.operation.form == "resource":
            alias.operation.poll()
        self.count_ownership(alias)
        return Response(200, self.resource(alias), self.waiting(alias))

    def put(self, request, caller, name):
        body = self.body(request, MODELS + "PutAliasRequest")
        properties = body.get("properties") or {}
        alias = self.tenant.aliases.get(name)
        if alias and alias.operation.outcome != "Failed":
            # The alias is the key: a second request gets what there is.
            return Response(200, self.resource(alias), self.waiting(alias))
        self.check(properties)
        alias = Alias(name, properties)
        alias.operation = Operation(
            dict(self.settings["operations"]["aliases.put"]),
            lambda: self.create(alias),
            lambda: self.resource(alias),
            PROVIDER,
            VERSION,
        )
        self.tenant.aliases[name] = alias
        self.tenant.operations[alias.operation.id] = alias.operation
        return alias.operation.first_answer(self.arm.url)

    def check(self, properties):
        if properties.get("subscriptionId"):
            self.subscription(properties["subscriptionId"])
            return
        for name in ("displayName", "billingScope", "workload"):
            if not properties.get(name):
                message = f"The required property 'properties.{name}' is missing."
                raise Refusal(400, "InvalidRequestContent", message)
        if len(properties["displayName"]) > DISPLAY_NAME_MAX:
            raise Refusal(400, "InvalidSubscriptionName", "The subscription name is too long.")
        scope = properties["billingScope"]
        forms = (BILLING_PROVIDER + form for form in BILLING_SCOPES)
        if not any(re.fullmatch(form, scope, re.IGNORECASE) for form in forms):
            raise Refusal(400, "InvalidBillingScope", f"The billing scope '{scope}' is not valid.")
        allowed = self.settings["billing_scopes"]
        if allowed is not None and scope not in allowed:
            message = "User is not authorized to create subscriptions on this enrollment account."
            raise Refusal(403, "UserNotAuthorized", message)
        group = (properties.get("additionalProperties") or {}).get("managementGroupId")
        if group is not None:
            self.group(group_name(group) or group)

    def create(self, alias):
        """Makes the subscription that an alias asked for."""
        existing = alias.properties.get("subscriptionId")
        if existing:
            alias.subscription_id = self.subscription(existing).id
            return
        alias.subscription_id = self.tenant.new_id("subscription", alias.name)
        tenant = alias.additional.get("subscriptionTenantId")
        if tenant not in (None, self.tenant.id):
            # Its new owner must accept it; until then it is in neither tenant.
            alias.ownership = "Pending"
            alias.ownership_url = (
                "https://portal.azure.us/#view/Microsoft_Azure_SubscriptionManagement/"
                f"AcceptSubscriptionOwnership/subscriptionId/{alias.subscription_id}"
                f"?token={self.tenant.new_id('ownership', alias.name)}"
            )
            alias.ownership_polls_left = self.settings["ownership_polls"]
            return
        parent = group_name(alias.additional.get("managementGroupId") or "")
        self.tenant.subscriptions[alias.subscription_id] = Subscription(
            alias.subscription_id,
            alias.properties["displayName"],
            self.tenant.group(parent).name if parent else self.tenant.root.name,
            dict(alias.additional.get("tags") or {}),
        )

    def count_ownership(self, alias):
        if alias.ownership == "Pending" and alias.ownership_polls_left is not None:
            if alias.ownership_polls_left == 0:
                alias.ownership = "Completed"
            else:
                alias.ownership_polls_left -= 1

    def ownership_status(self, request, caller, id):
        owned = (
            alias for alias in self.tenant.aliases.values() if alias.subscription_id == id.lower()
        )
        alias = next((alias for alias in owned if alias.ownership), None)
        if alias is None:
            raise Refusal(
                404, "SubscriptionNotFound", f"The subscription '{id}' could not be found."
            )
        self.count_ownership(alias)
        state = "Succeeded" if alias.ownership == "Completed" else "Pending"
        return self.answer(
            MODELS + "AcceptOwnershipStatusResponse",
            {
                "subscriptionId": alias.subscription_id,
                "acceptOwnershipState": alias.ownership,
                "provisioningState": state,
                "billingOwner": "owner@example.mil",
                "subscriptionTenantId": alias.additional["subscriptionTenantId"],
                "displayName": alias.properties["displayName"],
                "tags": alias.additional.get("tags") or {},
            },
        )

    def waiting(self, alias):
        return alias.operation.retry_after() if alias.operation.outcome is None else []

    def resource(self, alias):
        properties = {
            "subscriptionId": alias.subscription_id,
            "displayName": alias.properties.get("displayName"),
            "provisioningState": alias.operation.word("Accepted"),
            "billingScope": alias.properties.get("billingScope"),
            "workload": alias.properties.get("workload"),
            "createdTime": f"{self.tenant.today()}T00:00:00Z",
            "managementGroupId": alias.additional.get("managementGroupId"),
            "tags": alias.additional.get("tags"),
        }
        if alias.ownership:
            properties["acceptOwnershipState"] = alias.ownership
            properties["acceptOwnershipUrl"] = alias.ownership_url
        return held(
            MODELS + "SubscriptionAliasResponse",
            {
                "id": f"{PROVIDER}/aliases/{alias.name}",
                "name": alias.name,
                "type": "Microsoft.Subscription/aliases",
                "properties": properties,
            },
        )
