// Submitting a job: a form made from the catalogue, and a dry run.

import { bytes, get, h, post, problemView, say } from "./client.js";
import { planView } from "./job.js";

export async function submitView() {
  const { backends } = await get("/v1/backends");
  const field = (label, name, attributes = {}, hint = null) =>
    h("label", {}, label, h("input", { name, ...attributes }), hint ? h("span", { class: "hint" }, hint) : null);
  const choice = (label, name, values) => h("label", {}, label, h("select", { name }, values.map((v) => h("option", { value: v }, v))));
  const rules = h("div", { class: "row" });
  const data = h("fieldset");
  const backend = h("select", { name: "backend", change: () => fit() }, backends.map((b) => h("option", { value: b.name }, b.name)));
  const about = h("span", { class: "hint" });
  const fit = () => {
    const chosen = backends.find((b) => b.name === backend.value);
    about.textContent = chosen.summary;
    rules.replaceChildren(choice("Weights", "weights", chosen.weight_dtypes),
      ...(chosen.needs_calibration ? [choice("Activations", "activations", [...chosen.activation_dtypes, "native"]), choice("Algorithm", "algorithm", chosen.algorithms)] : []));
    calibration.hidden = calibration.querySelector("input").disabled = !chosen.needs_calibration;
  };
  const calibration = field("Calibration data", "calibration", { placeholder: "file:///data/calibration.npz" }, ".npz, .npy, .safetensors, or a folder of images");
  data.append(h("legend", {}, "Data"), calibration,
    field("Evaluation data", "evaluation", { placeholder: "file:///data/evaluation.npz" }, "Optional: what the two models are compared on"),
    field("Name of the labels", "labels", { placeholder: "y" }, "Optional: gives the accuracy before and after"));
  const advanced = h("textarea", { name: "extra", rows: 5, spellcheck: "false", placeholder: '{"backend_kwargs": {"granularity": "per_group"}}' });
  const answer = h("div", { id: "answer" });
  const form = h("form", { class: "job", submit: async (event) => {
    event.preventDefault();
    answer.replaceChildren();
    try {
      const body = request(new FormData(form), backends);
      if (event.submitter?.value === "plan") {
        answer.replaceChildren(dryRun(await post("/v1/plans", body)));
        say("The plan is below the form.");
      } else {
        location.hash = `/jobs/${(await post("/v1/jobs", body)).id}`;
      }
    } catch (error) {
      answer.replaceChildren(problemView(error));
      answer.scrollIntoView({ block: "nearest" });
    }
  } },
    h("fieldset", {}, h("legend", {}, "Model"),
      field("Model URI", "model", { required: true, placeholder: "file:///models/resnet50.onnx" }, "An ONNX file, a safetensors file or folder, or a PyTorch state dict"),
      field("Name", "name", { maxlength: 200 }, "Optional, unique")),
    h("fieldset", {}, h("legend", {}, "Rules"),
      h("label", {}, "Backend", backend, about),
      field("Layers", "layers", { value: "*", required: true }, "A glob on names, or a class such as Linear or Conv; commas between several"),
      rules,
      field("Leave native", "skip", { placeholder: "*head*" }, "Names that stay as they are; commas between several")),
    data,
    h("details", {}, h("summary", {}, "More of the quantize section, as JSON"), h("label", {}, "Merged into the section", advanced)),
    h("div", { class: "actions" },
      h("button", { class: "main", value: "submit" }, "Submit"),
      h("button", { value: "plan" }, "Dry run")));
  fit();
  return [h("h1", {}, "New job"), form, answer];
}

function request(fields, backends) {
  const text = (name) => (fields.get(name) ?? "").trim();
  const list = (name) => text(name).split(",").map((part) => part.trim()).filter(Boolean);
  const rule = (name) => {
    const one = { module_name: name, weights: { dtype: text("weights") } };
    if (text("activations")) one.activations = { dtype: text("activations") };
    return one;
  };
  const body = { model: { uri: text("model") }, quantize: { backend: text("backend"), mode: backends.find((b) => b.name === text("backend")).mode, layers: list("layers").map(rule) } };
  if (text("algorithm")) body.quantize.algorithm = text("algorithm");
  if (list("skip").length) body.quantize.skip_names = list("skip");
  if (text("extra")) Object.assign(body.quantize, JSON.parse(text("extra")));
  if (text("name")) body.name = text("name");
  if (text("calibration")) body.calibration = { uri: text("calibration") };
  if (text("evaluation")) body.evaluation = { uri: text("evaluation"), ...(text("labels") ? { labels: text("labels") } : {}) };
  return body;
}

function dryRun(dry) {
  const fact = (name, value) => h("li", {}, h("span", {}, name), h("b", {}, value));
  return h("section", { "aria-label": "Dry run" }, h("h2", {}, "Dry run"), h("ul", { class: "facts" },
    fact("Predicted size", `${bytes(dry.bytes_before)} → ${bytes(dry.bytes_after)}`),
    dry.predicted_peak_bytes ? fact("Predicted memory", bytes(dry.predicted_peak_bytes)) : null,
    dry.shards ? fact("Shards", dry.shards) : null),
    dry.warnings.length ? h("ul", { class: "warnings" }, dry.warnings.map((w) => h("li", {}, w.message))) : null,
    planView(dry));
}
