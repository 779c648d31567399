// Which view is shown, and the list of jobs.

import { badge, ended, get, h, key, problemView, say, time } from "./client.js";
import { jobView } from "./job.js";
import { submitView } from "./submit.js";

const main = document.querySelector("#main");
let leaving = new AbortController();
let arrived = false;

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const job = path.match(/^\/jobs\/(qj_[0-9a-f]+)$/);
  const view = job ? () => jobView(job[1], signal) : path === "/new" ? () => submitView() : () => listView(query, signal);
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === (path === "/new" ? "#/new" : job ? "" : "#/");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    const content = await view();
    if (signal.aborted) return;
    main.replaceChildren(...[content].flat());
    document.title = `${main.querySelector("h1")?.textContent ?? "Jobs"} – ptqd`;
    // Whoever comes by a link of the page goes on reading at the new content; the browser knows where a fresh page begins.
    if (arrived && document.activeElement === document.body) main.focus({ preventScroll: true });
    arrived = true;
  } catch (error) {
    if (!signal.aborted) main.replaceChildren(problemView(error));
  }
}

async function listView(query, signal) {
  const parameters = new URLSearchParams(query);
  const rows = h("tbody");
  const more = h("button", { type: "button", hidden: true }, "Older jobs");
  let cursor = null;
  const row = (job) => {
    const progress = job.progress && !ended(job.status) ? ` ${Math.floor((100 * job.progress.units_done) / Math.max(1, job.progress.units_total))} %` : "";
    return h("tr", { "data-id": job.id },
      h("td", {}, h("a", { href: `#/jobs/${job.id}` }, job.name ?? job.id)),
      h("td", {}, badge(job.status)),
      h("td", {}, ended(job.status) ? "" : (job.phase ?? "") + progress),
      h("td", {}, job.effective_config?.backend ?? ""),
      h("td", {}, Object.entries(job.labels).map(([k, v]) => `${k}: ${v}`).join(", ")),
      h("td", {}, time(job.created_at)));
  };
  const page = async () => {
    const wanted = new URLSearchParams(parameters);
    wanted.set("limit", "50");
    if (cursor) wanted.set("cursor", cursor);
    const listed = await get(`/v1/jobs?${wanted}`);
    if (!cursor) rows.replaceChildren();
    rows.append(...listed.jobs.map(row));
    cursor = listed.next_cursor;
    more.hidden = !cursor;
    if (!rows.children.length) {
      rows.append(h("tr", {}, h("td", { colspan: 6 }, "There is no job yet. ", h("a", { href: "#/new" }, "Submit one."))));
    }
  };
  more.addEventListener("click", () => page().catch((error) => main.append(problemView(error))));
  const choose = h("select", { id: "status-filter", change: (event) => {
    location.hash = event.target.value ? `/?status=${event.target.value}` : "/";
  } }, ["", "queued", "running", "succeeded", "failed", "cancelled", "timed_out"].map((status) =>
    h("option", { value: status, selected: status === (parameters.get("status") ?? "") }, status || "any status")));
  await page();
  // The first page is looked at again now and then; older ones stay as they were loaded.
  const timer = setInterval(() => {
    if (signal.aborted) return clearInterval(timer);
    if (document.hidden || rows.children.length > 50) return;
    cursor = null;
    page().catch(() => say("The list could not be brought up to date."));
  }, 3000);
  return [
    h("h1", {}, "Jobs"),
    h("div", { class: "actions" }, h("label", { for: "status-filter" }, "Show"), h("span", {}, choose),
      h("a", { class: "button", href: "#/new" }, "New job")),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Job", "Status", "Phase", "Backend", "Labels", "Created"].map((name) => h("th", { scope: "col" }, name)))),
      rows)),
    h("div", { class: "actions" }, more),
  ];
}

document.querySelector("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(document.querySelector("#key").value.trim());
  show();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.querySelector("#key-form").hidden = !key.get();
addEventListener("hashchange", show);
show();
