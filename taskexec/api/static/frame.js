// What stands around every page: who is signed in, the colours, which page this is.

import { get, send } from "./api.js";
import { byId, notice, replace, setText, svg } from "./dom.js";

const ICONS = {
  auto: "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18zM12 5.5v13a6.5 6.5 0 0 1 0-13z",
  light: "M12 7.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9zM11 2h2v3.2h-2zM11 18.8h2V22h-2zM2 11h3.2v2H2zM18.8 11H22v2h-3.2zM4.2 5.6l1.4-1.4l2.3 2.3l-1.4 1.4zM16.1 17.5l1.4-1.4l2.3 2.3l-1.4 1.4zM4.2 18.4l2.3-2.3l1.4 1.4l-2.3 2.3zM16.1 6.5l2.3-2.3l1.4 1.4l-2.3 2.3z",
  dark: "M20.5 14.2A8.6 8.6 0 0 1 9.8 3.5A8.6 8.6 0 1 0 20.5 14.2z",
};
const NAMES = { auto: "automatic", light: "light", dark: "dark" };
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const ROLES = { viewer: 1, submitter: 2, approver: 3, admin: 4 };

const listeners = new Set();

/** Call this when the colours change, whether by the button or by the system. */
export const onColours = (listener) => listeners.add(listener);

const chosen = () => document.documentElement.dataset.theme ?? "auto";

function showTheme() {
  const button = byId("theme");
  const icon = svg("svg", { viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true" });
  icon.append(svg("path", { d: ICONS[chosen()], "fill-rule": "evenodd" }));
  replace(button, icon);
  button.setAttribute("aria-label", `Colours: ${NAMES[chosen()]}`);
  button.title = `Colours: ${NAMES[chosen()]}`;
  for (const listener of listeners) listener();
}

function turnTheme() {
  const next = NEXT[chosen()];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "auto") localStorage.removeItem("tek-theme");
    else localStorage.setItem("tek-theme", next);
  } catch {
    // no storage: the choice lasts as long as the page
  }
  showTheme();
}

/** Colours of the style sheet by name, as canvases take them. */
export function colours(names) {
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const found = {};
  for (const name of names) {
    probe.style.setProperty("color", `var(--${name})`);
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

export const wantsLessMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function showPage() {
  const page = document.body.dataset.page;
  const name = page === "run" || page === "compare" ? "runs" : page;
  document.querySelector(`[data-nav="${name}"]`)?.setAttribute("aria-current", page === name ? "page" : "true");
  byId("theme").addEventListener("click", turnTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  showTheme();
}

async function leave() {
  try {
    await send("DELETE", "session");
  } catch (error) {
    notice(error.message, "bad");
    return;
  }
  location.assign("/login");
}

/** Set the frame up; return who is signed in: `{name, role, may(role)}`. */
export async function openFrame() {
  showPage();
  const session = await get("session");
  setText(byId("who"), `${session.name} · ${session.role}`);
  byId("who").hidden = false;
  byId("sign-out").hidden = false;
  byId("sign-out").addEventListener("click", leave);
  const rank = ROLES[String(session.role).toLowerCase()] ?? 0;
  return { ...session, may: (role) => rank >= ROLES[role] };
}

/** Set the frame up where nobody is signed in yet. */
export const openBareFrame = showPage;
