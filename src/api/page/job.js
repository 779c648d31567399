// One job: live progress, plan, report, files.

import { Problem, badge, bytes, ended, follow, get, h, key, number, percent, post, problemView, request, say, time } from "./client.js";
import { bars, histogram, sizes } from "./plots.js";

export async function jobView(id, signal) {
  let job = await get(`/v1/jobs/${id}`);
  const events = await get(`/v1/jobs/${id}/events?after=0`);
  const [head, log, result] = [h("div"), h("ol", { class: "muted" }), h("div", { id: "result" })];
  const draw = async () => {
    head.replaceChildren(...heading(job, refresh));
    if (ended(job.status) && !result.hasChildNodes()) result.append(...(await resultViews(job, planned)));
  };
  const refresh = async () => {
    job = await get(`/v1/jobs/${id}`);
    await draw();
    if (!ended(job.status)) {
      result.replaceChildren();
      watch();
    }
  };
  let planned = false;
  const note = (event) => {
    planned ||= event.type === "job.planned";
    log.append(h("li", { value: event.seq }, describe(event)));
    return event.seq;
  };
  let seen = events.events.map(note).at(-1) ?? 0;
  let watching = false;
  const watch = async () => {
    if (watching) return;
    watching = true;
    try {
      await follow(id, seen, async (event) => {
        seen = note(event);
        if (event.type === "job.progress") {
          job.phase = event.data.phase;
          job.progress = event.data;
          progress(head, job);
        } else {
          job = await get(`/v1/jobs/${id}`);
          await draw();
          if (event.type === "job.status_changed") say(`Status: ${job.status.replace("_", " ")}.`);
        }
      }, signal);
    } catch (error) {
      if (!signal.aborted) result.replaceChildren(problemView(error));
    }
    watching = false;
  };
  await draw();
  if (!ended(job.status)) watch();
  return [head, result,
    h("details", {}, h("summary", {}, "Events"), log),
    h("details", {}, h("summary", {}, "Request"), h("pre", { tabindex: 0 }, JSON.stringify(job.config, null, 2)))];
}

function heading(job, refresh) {
  const act = (method, path, done) => async () => {
    try {
      await request(`/v1/jobs/${job.id}${path}`, { method });
      await done();
    } catch (error) {
      say(error.message);
    }
  };
  const failed = ["failed", "cancelled", "timed_out"].includes(job.status);
  return [
    h("h1", {}, job.name ?? job.id),
    h("p", {}, badge(job.status), " ", h("span", { class: "muted" },
      `${job.id} · attempt ${job.attempt} of ${job.max_attempts} · created ${time(job.created_at)}`)),
    ended(job.status) ? null : h("div", { id: "progress" }, progressBar(job)),
    job.error ? problemView(new Problem(job.error)) : null,
    job.warnings.length ? h("section", { class: "warnings", "aria-label": "Warnings" }, h("h2", {}, "Warnings"),
      h("ul", {}, job.warnings.map((w) => h("li", {}, w.message, " ", h("code", {}, w.pointer ?? w.code))))) : null,
    h("div", { class: "actions" },
      ended(job.status) ? null : h("button", { type: "button", click: act("POST", "/cancel", refresh) }, "Cancel"),
      failed ? h("button", { type: "button", click: act("POST", "/retry", refresh) }, "Try again") : null,
      ended(job.status) ? h("button", { type: "button", click: act("DELETE", "", () => { location.hash = "/"; }) }, "Delete") : null),
  ].filter(Boolean);
}

function progress(head, job) {
  head.querySelector("#progress")?.replaceChildren(...progressBar(job));
}

function progressBar(job) {
  const { units_done: done, units_total: total, unit, eta_seconds: eta } = job.progress ?? {};
  const words = job.progress
    ? `${job.phase}: ${unit === "bytes" ? `${bytes(done)} of ${bytes(total)}` : `${done} of ${total} ${unit}`}${eta ? `, ${Math.ceil(eta)} s left` : ""}`
    : job.phase ?? "waiting for a worker";
  return [h("label", { for: "bar" }, words),
    h("progress", { id: "bar", max: 1, value: job.progress ? done / Math.max(1, total) : undefined })];
}

function describe(event) {
  const d = event.data;
  const words = {
    "job.status_changed": () => `status ${d.status}${d.error ? `: ${d.error.message}` : ""}${d.worker ? ` (attempt ${d.attempt}, ${d.worker})` : ""}`,
    "job.phase": () => `phase ${d.phase}${d.shards ? `, ${d.shards} shards` : ""}`,
    "job.progress": () => `${d.phase} ${d.units_done} of ${d.units_total} ${d.unit}`,
    "job.planned": () => `planned: ${d.layers_quantized} layers quantized, ${d.layers_native} native`,
    "shard.completed": () => `shard ${d.shard}: ${d.shards_done} of ${d.shards_total} done`,
    "job.warning": () => `warning: ${d.message}`,
  }[event.type];
  return `${new Date(event.at).toLocaleTimeString()} ${words ? words() : event.type}`;
}

async function resultViews(job, planned) {
  const views = [];
  const optional = async (make) => {
    try {
      views.push(...(await make()).filter(Boolean));
    } catch (error) {
      if (!(error instanceof Problem) || ![404, 409].includes(error.document.status)) views.push(problemView(error));
    }
  };
  if (job.result) {
    await optional(() => reportViews(job));
    views.push(files(job));
  }
  if (planned) await optional(async () => [planView(await get(`/v1/jobs/${job.id}/plan`))]);
  return views;
}

async function reportViews(job) {
  const report = await get(`/v1/jobs/${job.id}/report`);
  const s = report.summary;
  const fact = (name, value) => h("li", {}, h("span", {}, name), h("b", {}, value));
  const gate = report.quality_gate;
  const measured = report.layers.filter((layer) => layer.weights);
  const quality = (layer) => layer.output_sqnr_db ?? layer.weights?.sqnr_db;
  const worst = measured.filter((layer) => quality(layer) !== null && quality(layer) !== undefined)
    .sort((a, b) => quality(a) - quality(b)).slice(0, 40);
  const calibration = job.result.artifacts.find((artifact) => artifact.name === "calibration.json");
  const statistics = calibration && calibration.size < 32e6 ? await get(calibration.href) : null;
  return [
    h("h2", {}, "Report"),
    h("ul", { class: "facts" },
      fact("Size", `${bytes(s.bytes_before)} → ${bytes(s.bytes_after)}`),
      fact("Smaller", `${number(s.compression)}×`),
      fact("Layers quantized", `${s.layers_quantized} of ${s.layers_quantized + s.layers_native}`),
      s.output_sqnr_db === null ? null : fact("Output SQNR", `${number(s.output_sqnr_db, 1)} dB`),
      s.accuracy_after === null ? null : fact("Top-1", `${percent(s.accuracy_before)} → ${percent(s.accuracy_after)}`),
      s.top1_agreement === null ? null : fact("Same top-1", percent(s.top1_agreement)),
      report.latency ? fact("Latency on the worker", `${number(report.latency.before_ms)} → ${number(report.latency.after_ms)} ms`) : null,
      fact("Time", `${number(Object.values(s.seconds).reduce((a, b) => a + b, 0), 1)} s`),
      gate ? fact("Quality gate", gate.passed ? "passed" : "missed") : null),
    sizes(s.bytes_before, s.bytes_after),
    worst.length ? bars("Layers by SQNR, the worst first (dB; more is better)", worst.map((layer) => ({
      name: layer.name, value: layer.weights.sqnr_db, second: layer.output_sqnr_db,
    })), ["weights", "output"]) : null,
    statistics ? histogramView(report, statistics) : null,
    report.sensitivity ? sensitivityView(report.sensitivity) : null,
    layerTable(measured),
  ];
}

function histogramView(report, statistics) {
  const chosen = new Map(report.layers.flatMap((layer) => layer.activations ?? []).map((a) => [a.tensor, a]));
  const names = [...chosen.keys()].filter((name) => statistics.tensors[name]?.histogram);
  if (!names.length) return null;
  const place = h("div");
  const draw = (name) => place.replaceChildren(histogram(name, statistics.tensors[name].histogram, chosen.get(name)));
  const choose = h("select", { id: "tensor", change: (event) => draw(event.target.value) },
    names.map((name) => h("option", { value: name }, name)));
  draw(names[0]);
  return h("section", {}, h("h3", {}, h("label", { for: "tensor" }, "Values of an activation, and the range chosen")), choose, place);
}

function sensitivityView(sensitivity) {
  const suggestion = sensitivity.suggestion;
  return h("section", {}, h("h3", {}, "Sensitivity"),
    bars("What each layer alone adds to the error of the output (share)",
      sensitivity.layers.map((layer) => ({ name: layer.name, value: layer.noise_share })), ["share"], 3),
    suggestion ? h("p", {}, `Leaving ${suggestion.skip_names.join(", ")} native gains ${number(suggestion.gain_db, 1)} dB for ${bytes(suggestion.bytes_added)}: `,
      h("code", {}, JSON.stringify({ skip_names: suggestion.skip_names }))) : null);
}

function layerTable(layers) {
  const row = (layer) => h("tr", {}, h("td", {}, layer.name), h("td", {}, layer.op_type),
    h("td", {}, layer.weights.dtype), h("td", {}, layer.weights.granularity),
    h("td", { class: "n" }, number(layer.weights.sqnr_db, 1)), h("td", { class: "n" }, number(layer.output_sqnr_db, 1)),
    h("td", { class: "n" }, percent(layer.weights.clipped_fraction)));
  return h("details", {}, h("summary", {}, `All ${layers.length} quantized layers`),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Quantized layers" }, h("table", {}, h("thead", {}, h("tr", {},
      ["Layer", "Operator", "Weights", "Granularity"].map((name) => h("th", { scope: "col" }, name)),
      ["Weights SQNR (dB)", "Output SQNR (dB)", "Clipped"].map((name) => h("th", { scope: "col", class: "n" }, name)))),
      h("tbody", {}, layers.map(row)))));
}

export function planView({ plan }) {
  const row = (layer) => h("tr", {}, h("td", {}, layer.name), h("td", {}, layer.op_type), h("td", {}, layer.decision),
    h("td", {}, layer.reason), h("td", {}, [layer.weights, layer.activations].filter(Boolean).join(" / ")));
  const quantized = plan.layers.filter((layer) => layer.decision === "quantize").length;
  return h("details", { open: quantized === 0 }, h("summary", {}, `Plan: ${quantized} of ${plan.layers.length} layers quantized${plan.cut ? `, the first of ${plan.layer_count}` : ""}`),
    h("ul", {}, plan.patterns.map((use) => h("li", {}, h("code", {}, use.pattern ?? use.pointer), ` matches ${use.matches}`))),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Plan" }, h("table", {}, h("thead", {}, h("tr", {},
      ["Layer", "Operator", "Decision", "Reason", "Weights / activations"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, plan.layers.map(row)))));
}

function files(job) {
  if (!job.result.artifacts.length) return h("p", {}, "The files of this job have expired.");
  const download = (artifact) => async (event) => {
    // A link cannot send a key.
    if (!key.get()) return;
    event.preventDefault();
    const blob = await (await request(artifact.href)).blob();
    const link = h("a", { href: URL.createObjectURL(blob), download: artifact.name });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return h("section", {}, h("h2", {}, "Files"), h("table", {}, h("thead", {}, h("tr", {},
    h("th", { scope: "col" }, "Name"), h("th", { scope: "col", class: "n" }, "Size"), h("th", { scope: "col" }, "SHA-256"))),
    h("tbody", {}, job.result.artifacts.map((artifact) => h("tr", {},
      h("td", {}, h("a", { href: artifact.href, download: artifact.name, click: download(artifact) }, artifact.name)),
      h("td", { class: "n" }, bytes(artifact.size)), h("td", {}, h("code", {}, artifact.sha256)))))));
}
