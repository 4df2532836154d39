// Which colours the reader has chosen, before anything is painted.
try {
  const chosen = localStorage.getItem("tek-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage, as in private windows of some browsers: the system's choice holds
}
