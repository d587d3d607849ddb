// The theme switch: follows the system until the reader chooses. Storage may be refused for pages opened from a file.
const root = document.documentElement;
const button = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");

function stored() {
  try { return localStorage.getItem("saescope-theme"); } catch { return null; }
}

function shown() {
  return root.dataset.theme || (system.matches ? "dark" : "light");
}

function label() {
  button.textContent = shown() === "dark" ? "light" : "dark";
  button.setAttribute("aria-label", `Use the ${button.textContent} theme`);
}

function toggle() {
  root.dataset.theme = shown() === "dark" ? "light" : "dark";
  try { localStorage.setItem("saescope-theme", root.dataset.theme); } catch { /* this visit only */ }
  label();
}

const choice = stored();
if (choice === "dark" || choice === "light") root.dataset.theme = choice;
button.hidden = false;
label();
button.addEventListener("click", toggle);
system.addEventListener("change", label);
document.addEventListener("keydown", (event) => {
  if (event.key === "d" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, textarea, select")) toggle();
});
