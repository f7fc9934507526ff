// An adapter in JavaScript: reads a portfolio.
//
// The sample shows the contract from JavaScript. The clock is fixed at the time
// of the call. Random ids are derived from the job's entropy: `Math.random` got
// its seed when the component was built, and returns the same numbers in every
// job.

import { log } from "hoth:adapter/log@0.2.0";

const asked = (job) => ({ portfolioId: JSON.parse(job.input).portfolioId });

const outcome = (code, request, response) => ({
  code,
  request: JSON.stringify(request),
  response: JSON.stringify(response),
  extra: [],
});

const failed = (kind, message, result) => ({
  tag: "fail",
  val: { class: kind, message, outcome: result, extra: [] },
});

// UTF-8 bytes as text: QuickJS has no TextDecoder.
function text(bytes) {
  let escaped = "";
  for (const byte of bytes) {
    escaped += "%" + byte.toString(16).padStart(2, "0");
  }
  return decodeURIComponent(escaped);
}

export const adapter = {
  describe() {
    return {
      name: "portfolio-js",
      version: "1.0.0",
      operations: ["get-portfolio"],
      states: [1, 1],
      manifest: "{}",
    };
  },

  begin(job) {
    const path = "/portfolios/" + encodeURIComponent(asked(job).portfolioId);
    const random = job.entropy.map((half) => half.toString(16)).join("-");
    const headers = [
      { name: "X-Request-Id", value: random },
      { name: "X-Sent-At", value: new Date().toISOString() },
    ];
    return {
      tag: "send",
      val: {
        request: {
          method: "get",
          target: { tag: "path", val: path },
          query: [],
          headers,
          body: undefined,
          credential: { tag: "default" },
          scopes: ["atat/read-portfolio"],
          retry: "safe",
          extra: [],
        },
        state: { version: 1, bytes: new Uint8Array() },
        afterMs: undefined,
        extra: [],
      },
    };
  },

  resume(job, state, event) {
    const request = asked(job);
    if (event.tag === "transport-failure") {
      return failed("unavailable", event.val.message, outcome(502, request, {}));
    }
    if (event.tag !== "response") {
      const details = "this adapter never waits";
      return failed("invalid-answer", details, outcome(502, request, { details }));
    }
    const { status, body } = event.val;
    let answer;
    try {
      answer = JSON.parse(text(body));
    } catch {
      answer = { details: "the answer is not JSON" };
    }
    if (status !== 200) {
      log("warn", `the CSP answered ${status}`);
      return failed("refused", `the CSP answered ${status}`, outcome(status, request, answer));
    }
    const metadata = { status, request };
    return {
      tag: "done",
      val: outcome(200, request, { portfolio: answer, $metadata: metadata }),
    };
  },
};
