"""Uses the client that openapi-python-client generates, without a host.

Run by `cargo xtask openapi` with the folder of the generated package `hoth` in
PYTHONPATH.
"""

from hoth.api.provisioning import collect_provisioning_outcomes
from hoth.client import AuthenticatedClient
from hoth.models.add_operators import AddOperators
from hoth.models.add_portfolio import AddPortfolio
from hoth.models.cost_success import CostSuccess
from hoth.models.problem import Problem
from hoth.models.provisioning_failure import ProvisioningFailure
from hoth.models.provisioning_success import ProvisioningSuccess
import httpx

COMMON = {"jobId": "j", "userId": "u", "portfolioId": "p", "targetCspName": "CSP_A"}


def posted(model, body):
    """Fails if a request is not what it was after the model has read it."""
    assert model.from_dict(body).to_dict() == body, body


def collected(outcomes):
    """Returns outcomes as a collection returns them."""
    answer = lambda request: httpx.Response(200, json=outcomes)
    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="https://hoth.example.mil")
    client = AuthenticatedClient(base_url="", token="t")
    client.set_httpx_client(http)
    return collect_provisioning_outcomes.sync(client=client, lease=60)


def outcome(code, response):
    content = {"request": {"location": "l"}, "response": response}
    return {"code": code, "content": content, "initialSnowRequest": {"jobId": "j", "payload": {}}}


operator = {"email": "e", "dodId": "d", "other": [1]}
posted(AddPortfolio, COMMON | {
    "operationType": "ADD_PORTFOLIO", "payload": {"name": "n", "taskOrders": [], "other": 1}})
posted(AddOperators, COMMON | {
    "operationType": "ADD_ADMINISTRATOR", "payload": {"administrators": [operator]}})

made, refused, failed = collected([
    outcome(200, {"portfolio": {"id": "p", "other": 1}, "$metadata": {"status": 200}}),
    outcome(404, {"status": 404, "title": "of a CSP"}),
    outcome(500, {"details": "no answer", "status": {"status": "FAILURE"}}),
])
assert isinstance(made, ProvisioningSuccess) and made.code == 200
assert made.content.response.portfolio.id == "p"
assert made.content.response.portfolio.additional_properties == {"other": 1}
assert made.initial_snow_request.job_id == "j"
assert isinstance(refused, ProvisioningFailure) and refused.code == 404
assert refused.content.response.additional_properties["title"] == "of a CSP"
assert failed.code == 500 and failed.to_dict()["content"]["response"]["details"] == "no answer"

costs = CostSuccess.from_dict({"code": 200, "content": {
    "request": {"requestId": "r"},
    "response": {"taskOrders": [{"taskOrderNumber": "1", "clins": [
        {"clinNumber": "1", "actual": {"total": "50.00", "results": []}, "forecast": None}]}]}}})
assert costs.content.response.task_orders[0].clins[0].actual.total == "50.00"

problem = Problem.from_dict({"code": "OTHER", "reason": "TOO_MANY_REQUESTS", "message": "m"})
assert problem.reason == "TOO_MANY_REQUESTS"
print("openapi-python-client: requests and outcomes are read and written")
