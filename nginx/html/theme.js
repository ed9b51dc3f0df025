// Runs before the first paint: what was chosen here, else what the system prefers.
try {
  const chosen = localStorage.getItem("azlon.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* no storage, no choice */ }
