"""An adapter in Python: reads a portfolio.

The sample shows the contract from Python, and that the standard library works:
random ids come from the job's entropy, and the clock is fixed at the time of
the call.
"""

import datetime
import json
import urllib.parse
import uuid

from wit_world import exports
from wit_world.exports.adapter import Info
from wit_world.imports import log
from wit_world.imports.log import Level
from wit_world.imports.types import (
    Credential_Default,
    Event,
    Event_Response,
    Event_TransportFailure,
    Failure,
    HttpRequest,
    Job,
    Method,
    Outcome,
    Pair,
    SendStep,
    State,
    Step,
    Step_Done,
    Step_Fail,
    Step_Send,
    Target_Path,
)


class Adapter(exports.Adapter):
    def describe(self) -> Info:
        return Info(
            name="portfolio-py",
            version="1.0.0",
            operations=["get-portfolio"],
            states=(1, 1),
            manifest="{}",
        )

    def begin(self, job: Job) -> Step:
        portfolio = json.loads(job.input)["portfolioId"]
        now = datetime.datetime.now(datetime.timezone.utc)
        print("asks for a portfolio")
        return Step_Send(
            SendStep(
                request=HttpRequest(
                    method=Method.GET,
                    target=Target_Path("/portfolios/" + urllib.parse.quote(portfolio, safe="")),
                    query=[],
                    headers=[
                        Pair("X-Request-Id", str(uuid.uuid4())),
                        Pair("X-Sent-At", now.isoformat(timespec="milliseconds")),
                    ],
                    body=None,
                    credential=Credential_Default(),
                    scopes=["atat/read-portfolio"],
                    retry="safe",
                    extra=[],
                ),
                state=State(version=1, bytes=b""),
                after_ms=None,
                extra=[],
            )
        )

    def resume(self, job: Job, state: State, event: Event) -> Step:
        asked = {"portfolioId": json.loads(job.input)["portfolioId"]}
        if isinstance(event, Event_TransportFailure):
            return failed("unavailable", event.value.message, outcome(502, asked, {}))
        if not isinstance(event, Event_Response):
            details = "this adapter never waits"
            return failed("invalid-answer", details, outcome(502, asked, {"details": details}))
        status = event.value.status
        try:
            body = json.loads(event.value.body)
        except ValueError:
            body = {"details": event.value.body.decode("utf-8", "replace")}
        if status != 200:
            log.log(Level.WARN, f"the CSP answered {status}")
            return failed("refused", f"the CSP answered {status}", outcome(status, asked, body))
        metadata = {"status": status, "request": asked}
        return Step_Done(outcome(200, asked, {"portfolio": body, "$metadata": metadata}))


def outcome(code: int, request: dict, response: object) -> Outcome:
    if not isinstance(response, dict):
        response = {"details": json.dumps(response)}
    return Outcome(code, json.dumps(request), json.dumps(response), [])


def failed(kind: str, message: str, result: Outcome) -> Step:
    return Step_Fail(Failure(kind, message, result, []))
