"""Microsoft.Resources: subscriptions and their tags."""

from .http import Refusal
from .provider import Provider
from .provider import held
from .routes import SCOPE
from .routes import Route

# The versions of azure-mgmt-resource-subscriptions and of the older operations
# in azure-mgmt-subscription.
VERSIONS = ("2022-12-01", "2016-06-01")
# The version of azure-mgmt-resource, and an older one for clouds that get new
# versions later.
TAG_VERSIONS = ("2025-04-01", "2021-04-01")

SUBSCRIPTION = "azure.mgmt.resource.subscriptions:Subscription"
TAGS = "azure.mgmt.resource.resources:TagsResource"
TAGS_PATCH = "azure.mgmt.resource.resources:TagsPatchResource"

# Limits that Azure states for tags.
TAGS_MAX = 50
TAG_NAME_MAX = 512
TAG_VALUE_MAX = 256
TAG_NAME_REFUSED = set("<>%&\\?/")


class Subscriptions(Provider):
    """Subscriptions of the tenant."""

    def routes(self):
        subscription = r"/subscriptions/(?P<id>[^/]+)"
        tags = SCOPE + r"/providers/Microsoft\.Resources/tags/default"
        return [
            Route("GET", "/subscriptions", "subscriptions.list", self.list, VERSIONS),
            Route("GET", subscription, "subscriptions.get", self.get, VERSIONS),
            Route("GET", tags, "tags.get", self.get_tags, TAG_VERSIONS),
            Route("PUT", tags, "tags.put", self.put_tags, TAG_VERSIONS),
            Route("PATCH", tags, "tags.patch", self.patch_tags, TAG_VERSIONS),
        ]

    def list(self, request, caller):
        return self.page(
            request, [self.resource(item) for item in self.tenant.subscriptions.values()]
        )

    def get(self, request, caller, id):
        return self.answer(SUBSCRIPTION, self.resource(self.subscription(id)))

    def resource(self, subscription):
        return held(
            SUBSCRIPTION,
            {
                "id": f"/subscriptions/{subscription.id}",
                "subscriptionId": subscription.id,
                "tenantId": self.tenant.id,
                "displayName": subscription.display_name,
                "state": "Enabled",
                "subscriptionPolicies": {
                    "locationPlacementId": "Internal_2014-09-01",
                    "quotaId": "EnterpriseAgreement_2014-09-01",
                    "spendingLimit": "Off",
                },
                "authorizationSource": "RoleBased",
                "managedByTenants": [],
                "tags": subscription.tags,
            },
        )

    def get_tags(self, request, caller, scope):
        return self.tags(self.owner(scope))

    def put_tags(self, request, caller, scope):
        owner = self.owner(scope)
        body = self.body(request, TAGS)
        return self.set_tags(owner, body["properties"].get("tags") or {})

    def patch_tags(self, request, caller, scope):
        owner = self.owner(scope)
        body = self.body(request, TAGS_PATCH)
        given = (body.get("properties") or {}).get("tags") or {}
        operation = body.get("operation")
        if operation == "Replace":
            return self.set_tags(owner, given)
        if operation == "Merge":
            return self.set_tags(owner, owner.tags | given)
        if operation == "Delete":
            rest = {
                name: value
                for name, value in owner.tags.items()
                # A value of null deletes the tag whatever its value is.
                if name not in given or given[name] not in (None, value)
            }
            return self.set_tags(owner, rest)
        raise Refusal(400, "InvalidRequestContent", "The property 'operation' is missing.")

    def owner(self, scope):
        kind, name = scope.rsplit("/", 1)
        if kind.lower() != "/subscriptions":
            message = "Tags are not supported on management groups."
            raise Refusal(400, "InvalidTagsScope", message)
        return self.subscription(name)

    def set_tags(self, subscription, tags):
        if len(tags) > TAGS_MAX:
            raise Refusal(400, "TooManyTags", f"A resource can have {TAGS_MAX} tags.")
        for name, value in tags.items():
            if not name or len(name) > TAG_NAME_MAX or TAG_NAME_REFUSED & set(name):
                raise Refusal(400, "InvalidTagName", f"The tag name '{name}' is not valid.")
            if len(value or "") > TAG_VALUE_MAX:
                raise Refusal(400, "InvalidTagValue", f"The value of the tag '{name}' is too long.")
        subscription.tags = dict(tags)
        return self.tags(subscription)

    def tags(self, subscription):
        scope = f"/subscriptions/{subscription.id}"
        return self.answer(
            TAGS,
            {
                "id": f"{scope}/providers/Microsoft.Resources/tags/default",
                "name": "default",
                "type": "Microsoft.Resources/tags",
                "properties": {"tags": subscription.tags},
            },
        )
