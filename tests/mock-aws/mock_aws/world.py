"""All state of the mock: that of moto, and what moto does not know."""

import threading
import time
from dataclasses import dataclass, field

from . import moto_app
from .endpoints import COMMERCIAL, GOVCLOUD, REGIONS
from .faults import Faults
from .keys import MANAGEMENT, ROLES, WEB_IDENTITY_TOKEN, Keyring
from .pages import PAGE_SIZE_MAX

# The defaults of the settings, which tests change with POST /control/settings.
SETTINGS = {
    # Polls of a creation or an assignment that are answered with IN_PROGRESS.
    "creation_polls": 2,
    "assignment_polls": 2,
    # Answers that show a created account as PENDING_ACTIVATION.
    "activation_polls": 1,
    # Limits of AWS Organizations: creations at a time, invitations a day.
    "creations_max": 5,
    "invitations_max": 20,
    "page_size": PAGE_SIZE_MAX,
    "empty_pages": False,
}

# The seed of ids until a test chooses another one.
SEED = 1


@dataclass
class GovAccount:
    """A GovCloud account, which is not in an organization at first."""

    id: str
    email: str
    name: str
    # The role that the management account may assume.
    role: str
    # The commercial account of the pair.
    commercial: str


@dataclass
class Creation:
    """A request to create an account."""

    id: str
    partition: str
    parameters: dict
    govcloud: bool
    requested_at: float
    polls_left: int
    failure: str | None = None
    state: str = "IN_PROGRESS"
    completed_at: float | None = None
    account: str | None = None
    gov_account: str | None = None


@dataclass
class Assignment:
    """A request to assign a permission set."""

    id: str
    partition: str
    parameters: dict
    requested_at: float
    polls_left: int
    failure: str | None = None
    state: str = "IN_PROGRESS"


@dataclass
class Call:
    """A call that passed all checks."""

    world: object
    endpoint: object
    operation: str
    parameters: dict
    caller: object
    fault: object = None

    @property
    def organization(self):
        """Returns the state of the organization of the endpoint's partition."""
        return self.world.organization(self.endpoint.partition)

    def moto(self, parameters=None):
        """Returns the answer of moto."""
        parameters = self.parameters if parameters is None else parameters
        return moto_app.call(self.endpoint, self.caller.account, self.operation, parameters)

    def failure(self, kind):
        """Returns the reason of a failure that a test asked for, or None."""
        if self.fault is not None and self.fault.kind == kind:
            return self.fault.reason or "INTERNAL_FAILURE"
        return None


@dataclass
class World:
    """Both organizations, their Identity Centers, and the costs."""

    # Held by every call, because moto is not made for threads.
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self):
        self.reset(SEED)

    def reset(self, seed):
        """Returns to the initial state. The same seed gives the same ids."""
        moto_app.reset(seed)
        self.settings = dict(SETTINGS)
        self.keyring = Keyring()
        self.faults = Faults()
        self.calls = []
        self.creations = {}
        self.gov_accounts = {}
        # Answers until an account is ACTIVE, by partition and account.
        self.activations = {}
        self.handshakes = {}
        self.assignments = {}
        # Amounts by account and day or month, as decimal texts.
        self.costs = {}
        self.forecasts = {}
        self.permission_sets = {}
        for partition, account in MANAGEMENT.items():
            self._found(partition, account)

    def _found(self, partition, account):
        region = REGIONS[partition]
        organization = moto_app.organization(account, partition)
        organization.create_organization(region=region, FeatureSet="ALL")
        suffix = "" if partition == COMMERCIAL else "-gov"
        management = organization.accounts[0]
        management.name = f"management{suffix}"
        management.email = f"management{suffix}@example.com"
        organization.org.master_account_email = management.email
        center = moto_app.identity_center(account, region)
        instance = center.instances[0]
        # moto makes ids that break the patterns of the models.
        digits = f"{self._number():010x}"[-10:]
        instance.identity_store_id = f"d-{digits}"
        center.create_permission_set(
            name="administrator",
            description="All rights",
            instance_arn=instance.instance_arn,
            session_duration="PT1H",
            relay_state=None,
            tags=[],
        )
        made = center.permission_sets[-1]
        arn = instance.instance_arn.replace(":instance/", ":permissionSet/")
        made.permission_set_arn = f"{arn}/ps-{self._number():016x}"
        self.permission_sets[partition] = made.permission_set_arn

    @staticmethod
    def _number():
        return moto_app.mock_random.getrandbits(63)

    def id(self, prefix, length):
        """Returns a fresh id of lower-case letters and digits."""
        text = moto_app.mock_random.get_random_string(length=length, lower_case=True)
        return f"{prefix}{text}"

    def now(self):
        """Returns the time in seconds since 1970."""
        return time.time()

    def organization(self, partition):
        """Returns the state of the organization of a partition."""
        return moto_app.organization(MANAGEMENT[partition], partition)

    def identity_center(self, partition):
        """Returns the state of Identity Center in a partition."""
        return moto_app.identity_center(MANAGEMENT[partition], REGIONS[partition])

    def identity_store(self, partition):
        """Returns users, groups and memberships in a partition."""
        store = self.identity_center(partition).instances[0].identity_store_id
        return moto_app.identity_store(MANAGEMENT[partition], REGIONS[partition], store)

    def facts(self):
        """Returns the ids and the keys that a client needs."""
        facts = {"credentials": {}, "partitions": {}, "web_identity_token": WEB_IDENTITY_TOKEN}
        for name, key in self.keyring.named.items():
            facts["credentials"][name] = {
                "access_key_id": key.id,
                "secret_access_key": key.secret,
                "account": key.account,
                "partition": key.partition,
            }
        for partition in (COMMERCIAL, GOVCLOUD):
            instance = self.identity_center(partition).instances[0]
            account = MANAGEMENT[partition]
            facts["partitions"][partition] = {
                "region": REGIONS[partition],
                "management_account": account,
                "organization": self.organization(partition).org.id,
                "root": self.organization(partition).org.root_id,
                "instance_arn": instance.instance_arn,
                "identity_store": instance.identity_store_id,
                "permission_set": self.permission_sets[partition],
                "roles": [f"arn:{partition}:iam::{account}:role/{name}" for name in ROLES],
            }
        return facts
