// A whole job by way of the types that openapi-typescript makes of the document: what does not fit them does not compile.
//
//     node out/run_job.js URL FIXTURES

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [url, fixtures] = process.argv.slice(2);
if (!url || !fixtures) throw new Error("usage: run_job.js URL FIXTURES");
const client = createClient<paths>({ baseUrl: url });

function given<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

const request: components["schemas"]["JobRequest"] = {
  model: { uri: `file://${fixtures}/vit.safetensors` },
  quantize: { backend: "torchao", layers: [{ module_name: "Linear", weights: { dtype: "int8" } }] },
  labels: { from: "typescript" },
  priority: 0,
};
const plan = given(await client.POST("/v1/plans", { body: request }));
if (!plan.bytes_after || !plan.bytes_before || plan.bytes_after >= plan.bytes_before) throw new Error("no smaller");

const created = given(await client.POST("/v1/jobs", { body: request, params: { header: { "Idempotency-Key": "ts-1" } } }));
if (!("id" in created)) throw new Error("not a job");
const path = { id: created.id };
let job: components["schemas"]["JobView"] = created;
while (job.status === "queued" || job.status === "running" || job.status === "cancelling") {
  job = given(await client.GET("/v1/jobs/{id}", { params: { path, header: { Prefer: "wait=10" } } }));
}
if (job.status !== "succeeded") throw new Error(`${job.status}: ${job.error?.message}`);
const page = given(await client.GET("/v1/jobs/{id}/events", { params: { path, query: { after: 0 } } }));
// The other form of this answer is the stream.
if (!("events" in page)) throw new Error("no page");
if (page.events.at(-1)?.type !== "job.status_changed") throw new Error("the log does not end with the end");
for (const artifact of job.result?.artifacts ?? []) {
  const name = { id: job.id, name: artifact.name };
  const file = await client.GET("/v1/jobs/{id}/artifacts/{name}", { params: { path: name }, parseAs: "arrayBuffer" });
  if (file.data?.byteLength !== artifact.size) throw new Error(`${artifact.name} has another size`);
}
const listed = given(await client.GET("/v1/jobs", { params: { query: { label: "from:typescript", status: "succeeded" } } }));
if (listed.jobs.length !== 1) throw new Error("the list has not the job");
const refused = await client.POST("/v1/jobs", { body: { ...request, model: { uri: "ftp://x/y" } } });
if (refused.error?.errors[0]?.pointer !== "/model/uri") throw new Error("no problem document");
const gone = await client.DELETE("/v1/jobs/{id}", { params: { path } });
if (gone.response.status !== 204) throw new Error("not deleted");
console.log(`typescript: ${job.result?.artifacts.length} files of ${job.id}`);
