"""The state of the mock: one tenant, and what stands in it."""

import threading
import uuid
from dataclasses import dataclass
from dataclasses import field
from datetime import date
from datetime import datetime
from datetime import timezone

from . import settings
from .faults import Faults
from .identity import Application
from .tokens import Tokens

# The tenant in which everything stands.
TENANT_ID = "11111111-2222-3333-4444-555555555555"

# The application that exists from the start.
CLIENT_ID = "c11e0000-0000-4000-8000-000000000001"
CLIENT_SECRET = "mock-azure-secret~1"

# Ids that Azure makes are derived from what they are made for, so that two
# clients that do the same leave the same state. Clients cannot guess them.
IDS = uuid.UUID("5f0cbd36-2d5c-49c0-9d4a-1c4b7d0f6f0a")

GROUPS = "/providers/Microsoft.Management/managementGroups/"


@dataclass
class Group:
    """A management group."""

    name: str
    display_name: str
    parent: str | None
    version: int = 1
    # The state that its resource shows while it is made; `None` if it shows none.
    state: str | None = None
    # Not shown until the operation that makes it has ended.
    hidden: bool = False

    @property
    def id(self):
        return GROUPS + self.name


@dataclass
class Subscription:
    """A subscription, below the management group with the name `parent`."""

    id: str
    display_name: str
    parent: str
    tags: dict = field(default_factory=dict)
    tenant: str | None = None


@dataclass
class User:
    """A user of the directory."""

    id: str
    mail: str
    display_name: str
    user_type: str = "Guest"
    other_mails: list = field(default_factory=list)
    external_user_state: str | None = "PendingAcceptance"
    # Searches and role assignments left that do not know the user yet.
    searches_left: int = 0
    assignments_left: int = 0

    @property
    def principal_name(self):
        return f"{self.mail.replace('@', '_')}#EXT#@mock.onmicrosoft.com"


class Tenant:
    """A directory with its management groups, subscriptions and costs."""

    def __init__(self, tokens):
        self.id = TENANT_ID
        self.settings = settings.defaults()
        self.applications = {CLIENT_ID: Application(CLIENT_ID, CLIENT_SECRET)}
        self.assertions = []
        self.tokens = tokens
        self.faults = Faults()
        self.calls = []
        # The root's name is that of the tenant, as in Azure.
        self.groups = {self.id: Group(self.id, "Tenant Root Group", None)}
        self.subscriptions = {}
        self.aliases = {}
        self.operations = {}
        self.assignments = {}
        self.users = {}
        self.invitations = []
        # Dicts with subscriptionId, date, cost (decimal text), currency, dimensions.
        self.costs = []
        self.queries = 0

    @property
    def root(self):
        return next(group for group in self.groups.values() if group.parent is None)

    def group(self, name):
        """Finds a management group; names match in any case."""
        matching = (group for key, group in self.groups.items() if key.lower() == name.lower())
        return next(matching, None)

    def today(self):
        day = self.settings["today"]
        return date.fromisoformat(day) if day else datetime.now(timezone.utc).date()

    def new_id(self, kind, name):
        """Returns the id of a thing that is made for a name."""
        return str(uuid.uuid5(IDS, f"{self.id}/{kind}/{name}"))

    def secrets(self):
        """Returns texts that must appear nowhere outside of a client."""
        applications = [application.secret for application in self.applications.values()]
        links = [invitation["inviteRedeemUrl"] for invitation in self.invitations]
        owners = [alias.ownership_url for alias in self.aliases.values() if alias.ownership_url]
        return [text for text in applications if text] + links + owners + list(self.tokens.given)


class World:
    """The tenant, replaced by a reset, with the lock of all state and the URLs
    of the services."""

    def __init__(self):
        self.lock = threading.RLock()
        self.urls = {}
        self.tenant = Tenant(Tokens())

    def facts(self):
        """Returns what a client must know: the URLs, the tenant, and the
        application that exists from the start."""
        ids = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        return {**self.urls, "tenant": self.tenant.id, **ids}

    def reset(self):
        """Empties the tenant, and returns every setting to its default. Tokens
        stay good: clients keep them."""
        with self.lock:
            self.tenant.faults.release()
            self.tenant = Tenant(self.tenant.tokens)
