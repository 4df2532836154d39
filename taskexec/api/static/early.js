// What comes before all modules: which colours the reader has chosen, and, on the page of a run, its data is asked for.
try {
  const chosen = localStorage.getItem("tek-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage, as in private windows of some browsers: the system's choice holds
}

const begun = new Map();

/** Take an answer that was asked for early; undefined when this one was not, or was taken. */
globalThis.takeBegun = (address) => {
  const answer = begun.get(address);
  begun.delete(address);
  return answer;
};

const ofRun = /^\/runs\/[^/]+(?=\/?$)/.exec(location.pathname)?.[0];
for (const part of ofRun ? ["/session", `${ofRun}/graph`, `${ofRun}/timeline`, ofRun] : []) {
  const address = `/api/v1${part}`;
  const answer = fetch(address, { credentials: "same-origin", cache: part.endsWith("/timeline") ? "no-cache" : "default", priority: "high" });
  answer.catch(() => {}); // whoever takes it is told
  begun.set(address, answer);
}
