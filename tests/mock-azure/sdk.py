"""Microsoft's SDK, pointed at the mock.

The SDK speaks HTTPS only. Two things differ from its use with Azure, and
nothing else: a transport that sends what is meant for Entra to the mock, and
a policy that lets tokens go over HTTP.
"""

import json
import sys
import urllib.error
import urllib.request
from functools import cached_property

from azure.core import PipelineClient
from azure.core.pipeline import policies
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from azure.mgmt.costmanagement import CostManagementClient
from azure.mgmt.managementgroups import ManagementGroupsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient as SubscriptionsClient
from azure.mgmt.subscription import SubscriptionClient

AUTHORITY = "https://login.microsoftonline.us"
ARM_SCOPE = "https://management.core.usgovcloudapi.net/.default"
GRAPH_SCOPE = "https://graph.microsoft.us/.default"


class EntraTransport(RequestsTransport):
    """Sends requests for Entra to the token endpoint of the mock."""

    def __init__(self, token_url):
        super().__init__()
        self.token_url = token_url

    def send(self, request, **options):
        asked = request.url
        if not asked.startswith(AUTHORITY + "/"):
            raise ValueError(f"the SDK asked for a token at {asked}")
        request.url = self.token_url + asked.removeprefix(AUTHORITY)
        request.headers["X-Forwarded-Host"] = AUTHORITY.removeprefix("https://")
        try:
            return super().send(request, **options)
        finally:
            request.url = asked


class LoopbackBearerPolicy(ARMChallengeAuthenticationPolicy):
    """The SDK's own policy, for a server without TLS."""

    def on_request(self, request):
        request.context.options["enforce_https"] = False
        super().on_request(request)


class Azure:
    """The SDK's clients for one mock. `urls` is the line that the mock prints
    when it is ready. Options go to every client, such as `retry_total=0`."""

    def __init__(self, urls, credential=None, **options):
        self.urls = urls
        self.credential = credential or self.secret_credential()
        self.options = {"polling_interval": 0, **options}

    # Clients are made when they are used: each takes a while.

    @cached_property
    def groups(self):
        return self.client(ManagementGroupsMgmtClient)

    @cached_property
    def aliases(self):
        return self.client(SubscriptionClient)

    @cached_property
    def subscriptions(self):
        return self.client(SubscriptionsClient)

    @cached_property
    def resources(self):
        return self.client(ResourceManagementClient, "unused")

    @cached_property
    def roles(self):
        return self.client(AuthorizationManagementClient, "unused", api_version="2022-04-01")

    @cached_property
    def costs(self):
        return self.client(CostManagementClient)

    @cached_property
    def graph(self):
        return Graph(self.urls["graph"], self.policy(GRAPH_SCOPE), self.options)

    def secret_credential(self, **options):
        return ClientSecretCredential(
            self.urls["tenant"],
            self.urls["client_id"],
            self.urls["client_secret"],
            **self.entra(),
            **options,
        )

    def entra(self):
        """Returns the options that lead a credential of azure-identity here."""
        transport = EntraTransport(self.urls["token"])
        return {"authority": AUTHORITY, "transport": transport, "disable_instance_discovery": True}

    def policy(self, scope):
        return LoopbackBearerPolicy(self.credential, scope)

    def client(self, kind, *arguments, **options):
        return kind(
            self.credential,
            *arguments,
            base_url=self.urls["arm"],
            authentication_policy=self.policy(ARM_SCOPE),
            **self.options,
            **options,
        )


class Graph:
    """Microsoft Graph by the pipeline of azure-core, in place of its large SDK."""

    def __init__(self, url, policy, options):
        own = [
            policies.HeadersPolicy(),
            policies.UserAgentPolicy("mock-azure-tests"),
            policies.RetryPolicy(**options),
            policy,
        ]
        self.url = url
        self.client = PipelineClient(url, policies=own)

    def get(self, path, **parameters):
        query = {f"${name}": value for name, value in parameters.items()}
        return self.send(HttpRequest("GET", f"{self.url}/v1.0{path}", params=query))

    def get_link(self, link):
        return self.send(HttpRequest("GET", link))

    def post(self, path, body):
        return self.send(HttpRequest("POST", f"{self.url}/v1.0{path}", json=body))

    def send(self, request):
        response = self.client.send_request(request)
        response.raise_for_status()
        return response.json()


class Control:
    """The control API of the mock."""

    def __init__(self, url):
        self.url = url

    def get(self, path):
        return self.send(path, None)

    def post(self, path, body=None):
        return self.send(path, {} if body is None else body)

    def send(self, path, body):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/control/{path}", data)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)) from error


def urls_of(text):
    """Reads the line that the mock printed: the JSON itself, the URL of
    /control/facts, a file, or `-` for standard input."""
    if text == "-":
        return json.loads(sys.stdin.readline())
    if text.startswith("{"):
        return json.loads(text)
    if text.startswith("http://"):
        with urllib.request.urlopen(text) as response:
            return json.load(response)
    with open(text, encoding="utf-8") as file:
        return json.load(file)
