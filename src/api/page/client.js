// Talking to the API, and making elements. Texts from the server become text nodes, never markup.

const KEY = "ptqd-key";

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** An answer that is a problem document. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title || "The request failed.");
    this.document = document;
  }
}

export async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key.get()) headers.set("authorization", `Bearer ${key.get()}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Problem({ code: "unreachable", detail: "The server does not answer.", errors: [] });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ title: response.statusText, errors: [] }));
  if (response.status === 401) document.querySelector("#key-form").hidden = false;
  throw new Problem(problem);
}

export const get = async (path) => (await request(path)).json();

export const post = async (path, body) =>
  (await request(path, {
    method: "POST",
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  })).json();

/** Follows a job's events from number `after` on until the job ends or `signal` aborts; comes back when it is cut off. */
export async function follow(id, after, onEvent, signal) {
  let seen = after;
  for (let pause = 500; !signal.aborted; pause = Math.min(pause * 2, 8000)) {
    try {
      const headers = { accept: "text/event-stream", "last-event-id": String(seen) };
      const reader = (await request(`/v1/jobs/${id}/events`, { headers, signal })).body.getReader();
      const decoder = new TextDecoder();
      for (let text = ""; ; ) {
        const { done, value } = await reader.read();
        if (done) break;
        text += decoder.decode(value, { stream: true });
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const data = block.split("\n").find((line) => line.startsWith("data:"));
          if (!data) continue;
          const event = JSON.parse(data.slice(5));
          seen = event.seq;
          pause = 500;
          await onEvent(event);
        }
      }
      const job = await get(`/v1/jobs/${id}`);
      if (ended(job.status)) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.document.code !== "unreachable") throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

export const ended = (status) => ["succeeded", "failed", "cancelled", "timed_out"].includes(status);

/** An element: attributes, then children; functions are listeners. */
export function h(name, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line", "text", "title", "g"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(attribute, value);
    else if (value === true) element.setAttribute(attribute, "");
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(attribute, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function say(text) {
  document.querySelector("#status").textContent = text;
}

/** A problem, with everything that is wrong and what to do about it. */
export function problemView(error) {
  const document_ = error instanceof Problem ? error.document : { code: "error", detail: String(error), errors: [] };
  const item = (e) =>
    h("li", {}, e.pointer ? h("code", {}, e.pointer) : null, e.pointer ? " " : null, e.message,
      e.hint ? h("div", { class: "muted" }, `What to do: ${e.hint}`) : null,
      e.allowed?.length ? h("div", { class: "muted" }, `Allowed: ${e.allowed.join(", ")}`) : null);
  return h("section", { class: "problem", role: "alert" },
    h("h2", {}, document_.detail || document_.message || document_.title),
    document_.hint ? h("p", {}, `What to do: ${document_.hint}`) : null,
    document_.errors?.length ? h("ul", {}, document_.errors.map(item)) : null,
    h("p", { class: "muted" }, [document_.code, document_.phase && `in phase ${document_.phase}`, document_.request_id]
      .filter(Boolean).join(" · ")));
}

export const bytes = (n) => {
  if (n === null || n === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; n >= 1000 && at < units.length - 1; at += 1) n /= 1000;
  return `${at === 0 ? n : n.toFixed(n < 10 ? 2 : 1)} ${units[at]}`;
};
export const number = (x, digits = 2) => (x === null || x === undefined ? "–" : Number(x).toFixed(digits));
export const percent = (x) => (x === null || x === undefined ? "–" : `${(100 * x).toFixed(2)} %`);
export const time = (ms) => (ms ? new Date(ms).toLocaleString() : "–");
export const badge = (status) => h("span", { class: `badge ${status}` }, status.replace("_", " "));
