"""Endpoints: one service in one region of one partition, each with a port.

A signature covers the host and the path, so that endpoints cannot share a port
and be told apart by a path.
"""

from dataclasses import dataclass
from functools import cached_property

from botocore.loaders import Loader
from botocore.model import ServiceModel

COMMERCIAL = "aws"
GOVCLOUD = "aws-us-gov"

REGIONS = {COMMERCIAL: "us-east-1", GOVCLOUD: "us-gov-west-1"}

_LOADER = Loader()


@dataclass(frozen=True)
class Endpoint:
    """One service in one region."""

    name: str
    # The name in credential scopes. `sso` is that of the model `sso-admin`.
    service: str
    partition: str

    @property
    def region(self):
        """Returns the region of signatures."""
        return REGIONS[self.partition]

    @cached_property
    def model(self):
        """Returns the service model of botocore."""
        name = "sso-admin" if self.service == "sso" else self.service
        return ServiceModel(_LOADER.load_service_model(name, "service-2"), name)

    @property
    def is_query(self):
        """Returns true for the query protocol: forms in, XML out."""
        return self.model.metadata["protocol"] == "query"

    def operation(self, name):
        """Returns the model of an operation, or None if it does not exist."""
        known = name in self.model.operation_names
        return self.model.operation_model(name) if known else None


ENDPOINTS = [
    Endpoint("organizations", "organizations", COMMERCIAL),
    Endpoint("organizations-gov", "organizations", GOVCLOUD),
    Endpoint("sts", "sts", COMMERCIAL),
    Endpoint("sts-gov", "sts", GOVCLOUD),
    # Billing data exists in the commercial partition only, also for GovCloud.
    Endpoint("ce", "ce", COMMERCIAL),
    Endpoint("identitystore", "identitystore", COMMERCIAL),
    Endpoint("identitystore-gov", "identitystore", GOVCLOUD),
    Endpoint("sso", "sso", COMMERCIAL),
    Endpoint("sso-gov", "sso", GOVCLOUD),
]
