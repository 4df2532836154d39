// How pages ask the API, and what they make of its refusals.

const BASE = "/api/v1";

/** A refusal, as the API told it: `status`, `code`, `message`, `hint`. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.status = status;
    this.code = problem.code ?? "";
    this.hint = problem.hint ?? "";
  }
}

/** Go and sign in, and come back here. */
export function signIn() {
  const here = location.pathname + location.search + location.hash;
  location.assign(`/login?next=${encodeURIComponent(here)}`);
}

async function refusal(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // not a problem document: the status says it
  }
  return new Refused(response.status, problem);
}

/** Ask; a response that is not a success is thrown as `Refused`, and 401 leads to the login page. */
export async function ask(path, options = {}) {
  const address = path.startsWith("/") ? path : `${BASE}/${path}`;
  const begun = options.method ? undefined : globalThis.takeBegun?.(address);
  const response = await (begun ?? fetch(address, { credentials: "same-origin", ...options }));
  if (response.status === 401 && document.body.dataset.page !== "login") {
    signIn();
    return new Promise(() => {}); // the page is left
  }
  if (!response.ok && response.status !== 304) throw await refusal(response);
  return response;
}

export const get = async (path, options) => (await ask(path, options)).json();

/** Change something. */
export async function send(method, path, body = {}) {
  const headers = { "Content-Type": "application/json", "X-Tek-Request": "1" };
  const response = await ask(path, { method, headers, body: JSON.stringify(body) });
  const text = await response.text();
  return text ? JSON.parse(text) : {};
}

export const runPath = (run, rest = "") => `runs/${encodeURIComponent(run)}${rest}`;

export const taskPath = (run, task, rest = "") => runPath(run, `/tasks/${encodeURIComponent(task)}${rest}`);

/** An address for `EventSource`. */
export const eventsAt = (path) => `${BASE}/${path}`;

/** An address from the API that may be followed: http and https only, else null. */
export function safeLink(address) {
  if (!address) return null;
  try {
    const url = new URL(address, location.origin);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}
