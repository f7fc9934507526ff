"""Settings that a test may change by `POST /control/settings`."""

import copy

# Delays count polls or calls, never seconds, so that tests do not wait.
DEFAULTS = {
    # Seconds for which a new token is good.
    "token_lifetime_s": 3599,
    # Refuses a client assertion whose `jti` was seen before. RFC 7523, section
    # 3, allows that; Microsoft's own library uses an assertion again, so it is
    # off.
    "refuse_reused_assertions": False,
    # The day that costs and `updatedTime` take for today; the machine's if null.
    "today": None,
    # Enterprise Agreement, or "MCA", under which management groups have no costs.
    "agreement": "EA",
    # Billing scopes that may pay for subscriptions; null allows any.
    "billing_scopes": None,
    # Items of a page in lists, and rows of a page of costs.
    "page_size": 100,
    "cost_page_rows": 1000,
    # Refusals with PrincipalNotFound of a new guest's role assignments.
    "principal_lag": 1,
    # Searches for users that do not find a new guest yet.
    "guest_lag": 0,
    # Polls after which the ownership of a subscription for another tenant is
    # accepted; null waits for `POST /control/accept-ownership`.
    "ownership_polls": None,
    # Long-running operations, see operations.py. `outcome` may also be
    # {"code": "…", "message": "…"}: the operation fails with that error.
    "operations": {
        "managementGroups.put": {
            "form": "async-operation",
            "polls": 1,
            "status": 202,
            "words": "documented",
            "outcome": "Succeeded",
            "retry_after_s": None,
        },
        "aliases.put": {
            "form": "resource",
            "polls": 2,
            "status": 201,
            "words": "documented",
            "outcome": "Succeeded",
            "retry_after_s": None,
        },
    },
}

CHOICES = {
    "agreement": ["EA", "MCA"],
    "form": ["async-operation", "location", "resource", "status"],
    "words": ["documented", "upper", "lower", "swapped"],
}


def defaults():
    return copy.deepcopy(DEFAULTS)


def merge(settings, changes, known=DEFAULTS, at=""):
    """Applies changes in depth. Raises `ValueError` if a name or a word is not
    known; nothing has changed then."""
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"there is no setting `{at}{name}`")
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"`{at}{name}` must be one of {', '.join(CHOICES[name])}")
    for name, value in changes.items():
        if isinstance(known[name], dict):
            merge(settings[name], value, known[name], f"{at}{name}.")
    for name, value in changes.items():
        if not isinstance(known[name], dict):
            settings[name] = value
