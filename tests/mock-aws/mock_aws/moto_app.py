"""Calls moto in this process, through its WSGI application."""

import json
import os

from moto.core.base_backend import BackendDict
from moto.identitystore.models import IdentityStoreData, identitystore_backends
from moto.moto_api._internal import mock_random
from moto.organizations.models import organizations_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from moto.ssoadmin.models import ssoadmin_backends
from moto.sts.models import sts_backends
from werkzeug.test import Client

from .answers import Refusal

# It would override the account of every call.
os.environ.pop("MOTO_ACCOUNT_ID", None)

_CLIENT = Client(DomainDispatcherApplication(create_backend_app))


def reset(seed):
    """Forgets all state. The same seed gives the same ids again."""
    BackendDict.reset()
    organizations_backends.master_accounts.clear()
    mock_random.seed(seed)


def organization(account, partition):
    """Returns the state of an account's organization."""
    return organizations_backends[account][partition]


def identity_center(account, region):
    """Returns the state of Identity Center."""
    return ssoadmin_backends[account][region]


def identity_store(account, region, id):
    """Returns users, groups and memberships of an identity store."""
    stores = identitystore_backends[account][region].identity_stores
    return stores.setdefault(id, IdentityStoreData())


def last_role(account, partition):
    """Returns the role of this account that was assumed last."""
    return sts_backends[account][partition].assumed_roles[-1]


def call(endpoint, account, operation, parameters):
    """Returns the answer of moto to a call of a JSON service.

    Raises a refusal if moto refuses the call.
    """
    target = f"{endpoint.model.metadata['targetPrefix']}.{operation}"
    response = _post(endpoint, account, json.dumps(parameters), {"X-Amz-Target": target})
    if response.status_code == 200:
        return json.loads(response.text or "{}")
    try:
        body = json.loads(response.text)
        type, message = body.pop("__type"), body.pop("Message", None) or body.pop("message", "")
    except (ValueError, KeyError):
        raise AssertionError(f"moto answered {operation}: {response.text[:1000]}") from None
    members = {name: value for name, value in body.items() if value is not None}
    raise Refusal(type, message, status=response.status_code, **members)


def call_query(endpoint, account, body):
    """Returns the XML with which moto answers a call of a query service."""
    response = _post(endpoint, account, body, {})
    if response.status_code != 200:
        raise Refusal("ValidationError", response.text)
    return response.data


def _post(endpoint, account, body, headers):
    # moto reads service and region from here, and checks no signature.
    scope = f"AKIAEXAMPLE/20260101/{endpoint.region}/{endpoint.service}/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        "X-Moto-Account-Id": account,
        **headers,
    }
    query = "application/x-www-form-urlencoded"
    kind = query if endpoint.is_query else "application/x-amz-json-1.1"
    host = f"http://{endpoint.service}.{endpoint.region}.amazonaws.com"
    return _CLIENT.post("/", base_url=host, data=body, headers=headers, content_type=kind)
