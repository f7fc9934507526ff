"""Access keys: fixed ones, and temporary ones that STS gave."""

from dataclasses import dataclass

from .endpoints import COMMERCIAL, GOVCLOUD

# The account that pays for the commercial organization, and its pair in GovCloud.
MANAGEMENT = {COMMERCIAL: "100000000001", GOVCLOUD: "200000000002"}

# The rights of an administrator of organizations, and of one of Identity Center.
ORGANIZATIONS = frozenset({"organizations", "sts", "ce"})
IDENTITY = frozenset({"sso", "identitystore", "sts"})

# Roles of a management account, with their rights.
ROLES = {"hoth-management": ORGANIZATIONS, "hoth-identity": IDENTITY}

# The identity token that AssumeRoleWithWebIdentity accepts.
WEB_IDENTITY_TOKEN = "web-identity-token"


@dataclass
class AccessKey:
    """An access key with the rights of its holder."""

    id: str
    secret: str
    partition: str
    account: str
    # The name of the user or the role.
    holder: str
    services: frozenset
    token: str | None = None
    # Seconds since 1970. None means never.
    expires_at: float | None = None

    @property
    def is_member(self):
        """Returns true for a role in an account that is not a management one."""
        return self.account != MANAGEMENT[self.partition]

    @property
    def arn(self):
        """Returns the ARN of the user, or of the session of the role."""
        kind = "user" if self.token is None else "assumed-role"
        service = "iam" if self.token is None else "sts"
        return f"arn:{self.partition}:{service}::{self.account}:{kind}/{self.holder}"


def fixed():
    """Returns the fixed keys by name."""
    keys = {}
    for suffix, partition in [("", COMMERCIAL), ("-gov", GOVCLOUD)]:
        for name, services in [("management", ORGANIZATIONS), ("identity", IDENTITY)]:
            tag = (name + suffix).upper().replace("-", "")
            keys[name + suffix] = AccessKey(
                id=f"AKIA{tag:X<16}"[:20],
                secret=f"secret-of-{name}{suffix}",
                partition=partition,
                account=MANAGEMENT[partition],
                holder=name,
                services=services,
            )
    return keys


class Keyring:
    """All keys that can sign."""

    def __init__(self):
        self.named = fixed()
        self._by_id = {key.id: key for key in self.named.values()}

    def get(self, id):
        """Returns a key, or None if there is none with this id."""
        return self._by_id.get(id)

    def add(self, key):
        """Adds a temporary key."""
        self._by_id[key.id] = key

    def expire(self):
        """Lets every temporary key expire now."""
        for key in self._by_id.values():
            if key.token is not None:
                key.expires_at = 0.0
