// The login page: a token, from the address or from a form, becomes a session.

import { send } from "./api.js";
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

async function signIn(token) {
  setText(byId("login-said"), "");
  try {
    await send("POST", "session", { token: token.trim() });
  } catch (error) {
    setText(byId("login-said"), error.hint ? `${error.message}. ${error.hint}` : error.message);
    byId("token").setAttribute("aria-invalid", "true");
    byId("token").focus();
    return;
  }
  location.replace(nextPage());
}

openBareFrame();
const fromAddress = new URLSearchParams(location.hash.slice(1)).get("token");
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(byId("token").value);
});
if (fromAddress) signIn(fromAddress);
else byId("token").focus();
