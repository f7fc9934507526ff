"""The control API of tests, on a port of its own."""

import json

from . import costs
from .accounts import complete as complete_creation
from .answers import Answer, Refusal
from .endpoints import COMMERCIAL, GOVCLOUD
from .faults import Fault
from .handshakes import state_of
from .identity import complete as complete_assignment
from .world import SEED, SETTINGS


class Control:
    """Answers requests to `/control/...`."""

    def __init__(self, world, document):
        self._world = world
        # Returns the document with endpoints and facts.
        self._document = document
        self._routes = {
            ("GET", "/control/facts"): lambda _: document(),
            ("GET", "/control/calls"): lambda _: world.calls,
            ("GET", "/control/state"): lambda _: state(world),
            ("GET", "/control/faults"): lambda _: world.faults.waiting(),
            ("POST", "/control/faults"): self._add_faults,
            ("POST", "/control/release"): self._release,
            ("POST", "/control/settings"): self._set,
            ("POST", "/control/costs"): self._set_costs,
            ("POST", "/control/expire"): self._expire,
            ("POST", "/control/settle"): self._settle,
            ("POST", "/control/reset"): self._reset,
        }

    def answer(self, method, path, body):
        """Returns the answer to a request: JSON, or a sentence with 400 or 404."""
        route = self._routes.get((method, path))
        if route is None:
            known = ", ".join(f"{method} {path}" for method, path in self._routes)
            return _json(404, f"the control API has {known}")
        try:
            value = json.loads(body) if body else {}
            with self._world.lock:
                return _json(200, route(value))
        except (ValueError, TypeError, AttributeError, ArithmeticError, Refusal) as error:
            return _json(400, str(error))

    def _add_faults(self, value):
        faults = [Fault.parse(one) for one in (value if isinstance(value, list) else [value])]
        for fault in faults:
            self._world.faults.add(fault)
        return self._world.faults.waiting()

    def _release(self, _):
        self._world.faults.release()
        return {}

    def _set(self, value):
        for name, setting in value.items():
            if name not in SETTINGS:
                raise ValueError(f"there are the settings {', '.join(SETTINGS)}, not {name}")
            if type(setting) is not type(SETTINGS[name]):
                raise ValueError(f"{name} must be of the type of {SETTINGS[name]}")
        self._world.settings.update(value)
        return self._world.settings

    def _set_costs(self, value):
        unknown = set(value) - {"costs", "forecasts"}
        if unknown:
            raise ValueError(f"there are costs and forecasts, not {', '.join(unknown)}")
        if "costs" in value:
            self._world.costs = costs.parse_table(value["costs"])
        if "forecasts" in value:
            self._world.forecasts = costs.parse_table(value["forecasts"])
        return {}

    def _expire(self, _):
        self._world.keyring.expire()
        return {}

    def _settle(self, _):
        world = self._world
        for creation in world.creations.values():
            if creation.state == "IN_PROGRESS":
                complete_creation(world, creation)
        for assignment in world.assignments.values():
            if assignment.state == "IN_PROGRESS":
                complete_assignment(world, assignment)
        world.activations.clear()
        return {}

    def _reset(self, value):
        seed = value.get("seed", SEED)
        if not isinstance(seed, int):
            raise ValueError("`seed` must be a whole number")
        self._world.faults.release()
        self._world.reset(seed)
        return self._document()


def state(world):
    """Returns all that exists, for comparisons."""
    partitions = {name: _partition(world, name) for name in (COMMERCIAL, GOVCLOUD)}
    return {
        "partitions": partitions,
        "gov_accounts": [vars(account) for account in world.gov_accounts.values()],
        "creations": [vars(creation) for creation in world.creations.values()],
        "handshakes": [
            {**vars(handshake), "state": state_of(handshake, world.now())}
            for handshake in world.handshakes.values()
        ],
        "assignments": [vars(assignment) for assignment in world.assignments.values()],
    }


def _partition(world, name):
    organization = world.organization(name)
    store = world.identity_store(name)
    center = world.identity_center(name)
    return {
        "root": organization.org.root_id,
        "units": [
            {"id": u.id, "name": u.name, "parent": u.parent_id, "tags": u.tags}
            for u in organization.ou
            if u.parent_id is not None
        ],
        "accounts": [
            {
                "id": a.id,
                "name": a.name,
                "email": a.email,
                "parent": a.parent_id,
                "state": _account_state(world, name, a),
                "joined": a.joined_method,
                "tags": a.tags,
            }
            for a in organization.accounts
        ],
        "users": [
            {"id": u.UserId, "name": u.UserName, "display": u.DisplayName, "emails": u.Emails}
            for u in store.users.values()
        ],
        "groups": [{"id": g.GroupId, "name": g.DisplayName} for g in store.groups.values()],
        "memberships": [
            {"group": m["GroupId"], "user": m["MemberId"]["UserId"]}
            for m in store.group_memberships.values()
        ],
        "assignments": [
            {
                "account": a.target_id,
                "permission_set": a.permission_set_arn,
                "principal_type": a.principal_type,
                "principal": a.principal_id,
            }
            for a in center.account_assignments
        ],
    }


def _account_state(world, partition, account):
    pending = world.activations.get((partition, account.id), 0) > 0
    return "PENDING_ACTIVATION" if pending else account.state


def _json(status, value):
    return Answer(status, "application/json", json.dumps(value).encode())
