// The login page: a token, from the address or from a form, becomes a session. One from the address, which anybody may
// have made up, never takes the place of another session unasked.

import { get, send } from "./api.js";
import { byId, setText } from "./dom.js";
import { openBareFrame } from "./frame.js";

/** Where to go afterwards: an address of these pages, never of another host. */
function nextPage() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  try {
    const url = new URL(wanted, location.origin);
    return url.origin === location.origin && !url.pathname.startsWith("/login") ? url.pathname + url.search + url.hash : "/";
  } catch {
    return "/";
  }
}

const leave = () => location.replace(nextPage());

/** Show who is signed in and who would be, and let the reader choose. */
async function ask(token) {
  const [present, other] = await Promise.all([
    get("session"),
    get("session", { headers: { Authorization: `Bearer ${token}` } }),
  ]);
  setText(byId("login-other-said"), `You are signed in as ${present.name} (${present.role}). Sign in as ${other.name} (${other.role}) instead?`);
  setText(byId("login-as"), `Sign in as ${other.name}`);
  setText(byId("login-stay"), `Stay ${present.name}`);
  byId("login").hidden = true;
  byId("login-other").hidden = false;
  byId("login-as").addEventListener("click", () => signIn(token, true));
  byId("login-stay").addEventListener("click", leave);
  byId("login-stay").focus();
}

async function signIn(token, mayReplace) {
  setText(byId("login-said"), "");
  try {
    try {
      await send("POST", "session", { token, replace: mayReplace });
    } catch (error) {
      if (error.code !== "access.signed_in") throw error;
      await ask(token);
      return;
    }
  } catch (error) {
    byId("login").hidden = false;
    byId("login-other").hidden = true;
    setText(byId("login-said"), error.hint ? `${error.message}. ${error.hint}` : error.message);
    byId("token").setAttribute("aria-invalid", "true");
    byId("token").focus();
    return;
  }
  leave();
}

openBareFrame();
const fromAddress = new URLSearchParams(location.hash.slice(1)).get("token");
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(byId("token").value.trim(), true);
});
if (fromAddress) signIn(fromAddress.trim(), false);
else byId("token").focus();
