// Uses every operation of the API with the types that openapi-typescript
// generates. The compiler is the test: an error in a line without
// `@ts-expect-error`, or none in a line with it, fails.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

const hoth = createClient<paths>({ baseUrl: "https://hoth.example.mil" });

const clin: Schemas["Clin"] = {
  clinNumber: "0001",
  type: "CLOUD",
  popStartDate: "2026-07-01",
  popEndDate: "2027-07-01",
};
const taskOrder: Schemas["TaskOrder"] = {
  taskOrderNumber: "1234567890123",
  popStartDate: "2026-07",
  popEndDate: "2027-07",
  clins: [clin, { clin_number: "0002", type: "NON_CLOUD", pop_start_date: "2026", pop_end_date: "2027" }],
};
const common = { userId: "u", portfolioId: "p", targetCspName: "CSP_A" };
const administrators = [{ email: "admin@mail.mil", dodId: "1234567890", anotherKey: 1 }];

// One request of each operation, with keys that only an adapter knows.
const requests: Schemas["ProvisioningRequest"][] = [
  { ...common, operationType: "ADD_PORTFOLIO", payload: { name: "n", taskOrders: [taskOrder], mine: 1 } },
  { ...common, operationType: "GET_PORTFOLIO", payload: { mine: { deep: [true] } } },
  {
    ...common,
    operationType: "ADD_ENVIRONMENT",
    payload: { name: "e", administrators: null, classificationLevel: "SECRET", cloudDistinguisher: null },
  },
  { ...common, operationType: "ADD_TASK_ORDER", payload: { taskOrder } },
  { ...common, operationType: "UPDATE_TASK_ORDER", payload: { taskOrderId: "t", taskOrder } },
  { ...common, operationType: "ADD_OPERATORS", payload: { operators: administrators } },
  { ...common, operationType: "ADD_ADMINISTRATOR", payload: { administrators, environmentId: "e" } },
  // @ts-expect-error: the payload of ADD_PORTFOLIO needs task orders
  { ...common, operationType: "ADD_PORTFOLIO", payload: { name: "n" } },
  // @ts-expect-error: no operation has this name
  { ...common, operationType: "REMOVE_PORTFOLIO", payload: {} },
];

function isSuccess(outcome: Schemas["ProvisioningOutcome"]): outcome is Schemas["ProvisioningSuccess"] {
  return outcome.code < 400;
}

function read(outcome: Schemas["ProvisioningOutcome"]): string {
  const job: string = outcome.initialSnowRequest.jobId;
  if (isSuccess(outcome)) {
    const { portfolio, environment, status } = outcome.content.response;
    const environmentId: string | null | undefined = status?.environmentId ?? environment?.id;
    const portfolioId: string | undefined = portfolio?.id;
    return `${job} ${portfolioId} ${environmentId} ${outcome.content.response["$metadata"]?.status}`;
  }
  const details: unknown = outcome.content.response.details;
  return `${job} ${typeof details === "string" ? details : JSON.stringify(outcome.content.response)}`;
}

function sum(outcome: Schemas["CostOutcome"]): string | undefined {
  const costs = (outcome as Schemas["CostSuccess"]).content.response;
  return costs.taskOrders?.[0]?.clins?.[0]?.actual?.total;
}

function retry(problem: Schemas["Problem"]): boolean {
  const reasons: Schemas["Reason"][] = ["TOO_MANY_REQUESTS", "UNAVAILABLE"];
  return reasons.includes(problem.reason);
}

export async function run(): Promise<void> {
  for (const body of requests) {
    const { data, error, response } = await hoth.POST("/provisioning-jobs", { body });
    if (error) console.log(retry(error), error.errorMap?.["payload.name"]);
    console.log(data?.jobId, response.headers.get("Hoth-Repeated"));
  }
  await hoth.POST("/cost-jobs", {
    body: { requestId: "r", portfolioId: "p", targetCspName: "CSP_A", startDate: "2026-01", endDate: "2026-12", mine: 1 },
  });
  const query = { lease: 60, wait: 20, max: 10, ack: "batch" };
  const jobs = await hoth.GET("/provisioning-jobs", { params: { query } });
  jobs.data?.forEach((outcome) => console.log(read(outcome)));
  const costs = await hoth.GET("/cost-jobs", { params: { query } });
  costs.data?.forEach((outcome) => console.log(sum(outcome)));
  for (const path of ["/provisioning-jobs/ack", "/cost-jobs/ack"] as const) {
    await hoth.POST(path, { body: { batch: "batch" } });
  }
  for (const path of ["/provisioning-jobs/release", "/cost-jobs/release"] as const) {
    await hoth.POST(path, { body: { batch: "batch" } });
  }
  const jobsAgain = await hoth.POST("/provisioning-jobs/redeliver", { body: { jobIds: ["a"] } });
  const costsAgain = await hoth.POST("/cost-jobs/redeliver", { body: { since: "2026-07-01T12:00:00Z" } });
  console.log((jobsAgain.data?.redelivered ?? 0) + (costsAgain.data?.redelivered ?? 0));
  const job = await hoth.GET("/provisioning-jobs/{jobId}", { params: { path: { jobId: "a" } } });
  const cost = await hoth.GET("/cost-jobs/{requestId}", { params: { path: { requestId: "r" } } });
  const states: (Schemas["JobState"] | undefined)[] = [job.data?.state, cost.data?.state];
  console.log(states, job.data?.detail);
  await hoth.GET("/openapi.json");
}
