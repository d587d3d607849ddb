// Tokens of the examples: a tooltip on hover and focus, and arrow keys. One tab stop per list of examples.
const tip = document.getElementById("tip");
let owner = null;

function show(token) {
  if (owner === token) return;
  hide();
  owner = token;
  if (token.title) {
    token.dataset.t = token.title; // the browser's own tooltip would come second
    token.removeAttribute("title");
  }
  tip.textContent = token.dataset.t || "";
  tip.hidden = false;
  token.setAttribute("aria-describedby", "tip");
  place();
}

function place() {
  const box = owner.getClientRects()[0] || owner.getBoundingClientRect();
  const wide = tip.offsetWidth, high = tip.offsetHeight;
  tip.style.left = `${Math.max(6, Math.min(box.left, innerWidth - wide - 6))}px`;
  tip.style.top = `${box.top - high - 6 > 0 ? box.top - high - 6 : box.bottom + 6}px`;
}

function hide() {
  if (!owner) return;
  owner.removeAttribute("aria-describedby");
  if (owner.dataset.t) owner.title = owner.dataset.t;
  tip.hidden = true;
  owner = null;
}

const visible = (row) => [...row.querySelectorAll("b")].filter((token) => token.getClientRects().length);

function focus(token) {
  const list = token.closest("ol");
  for (const other of list.querySelectorAll("b[tabindex='0']")) other.tabIndex = -1;
  token.tabIndex = 0;
  token.focus();
}

function step(token, key) {
  const row = token.closest(".r");
  const right = getComputedStyle(row).direction === "rtl" ? -1 : 1;
  const move = { ArrowRight: right, ArrowLeft: -right }[key];
  if (move) {
    const tokens = visible(row);
    return tokens[tokens.indexOf(token) + move];
  }
  const rows = [...row.closest("ol").querySelectorAll(".r")];
  const next = rows[rows.indexOf(row) + (key === "ArrowDown" ? 1 : -1)];
  return next && (next.querySelector("b.p") || visible(next)[0]);
}

for (const list of document.querySelectorAll(".ex > ol")) {
  for (const token of [...list.querySelectorAll("b[tabindex]")].slice(1)) token.tabIndex = -1;
}

const at = (event) => event.target.closest?.(".r b");
document.addEventListener("pointerover", (event) => (at(event) ? show(at(event)) : hide()));
document.addEventListener("focusin", (event) => (at(event) ? show(at(event)) : hide()));
document.addEventListener("focusout", hide);
document.addEventListener("scroll", () => (owner && owner === document.activeElement ? place() : hide()), { passive: true, capture: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return hide();
  const token = at(event);
  if (!token || !/^Arrow(Left|Right|Up|Down)$/.test(event.key)) return;
  event.preventDefault();
  const next = step(token, event.key);
  if (next) focus(next);
});
