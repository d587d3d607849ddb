// The table of all features: its rows come from the JSON of the page, a hundred at a time as the box is scrolled.
const data = JSON.parse(document.getElementById("data").textContent);
const cards = new Set([...document.querySelectorAll(".card")].map((card) => Number(card.id.slice(1))));
const body = document.querySelector("#table tbody");
const box = document.getElementById("box");
const field = document.getElementById("q");
const PAGE = 100;
let order = data.id.map((_, i) => i);
let drawn = 0;
let sort = { key: "id", down: false };

// Numbers as `render/numbers.py` writes them; halves go to the even neighbour, as there.
function whole(x) {
  const up = Math.round(x);
  return Math.abs(x % 1) === 0.5 && up % 2 ? up - 1 : up;
}

function number(x) {
  if (x === null) return "–";
  const size = Math.abs(x);
  let text;
  if (size >= 999.5) text = whole(x).toLocaleString("en-US");
  else if (size && size < 1e-3) text = x.toExponential(1);
  else text = size ? x.toPrecision(3) : "0";
  return text.replaceAll("-", "−");
}

function percent(share) {
  if (share === null) return "–";
  const size = share * 100;
  if (size >= 9.95 || size === 0) return `${whole(size)} %`;
  return `${size >= 1e-3 ? Number(size.toPrecision(2)) : size.toExponential(0)} %`.replaceAll("-", "−");
}

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text) made.textContent = text;
  return made;
}

function token(text) {
  const made = element("span", "", "tok");
  made.dir = "auto";
  for (const part of text.split(/(⟨[^⟨⟩]{1,60}⟩|[⏎⇥␣])/)) {
    if (part) made.append(/^[⟨⏎⇥␣]/.test(part) ? element("small", part) : part);
  }
  return made;
}

function spark(digits) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 64 16");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  const wide = 64 / digits.length;
  let d = "";
  [...digits].forEach((digit, i) => {
    const h = (parseInt(digit, 36) / 35) * 14;
    if (h) d += `M${(i * wide).toFixed(1)} 16v-${Math.max(1, h).toFixed(1)}h${(wide - 0.8).toFixed(1)}v${Math.max(1, h).toFixed(1)}z`;
  });
  path.setAttribute("d", d);
  path.setAttribute("class", "bar");
  svg.append(path);
  return svg;
}

function draw(i) {
  const row = element("tr");
  const head = element("th");
  head.scope = "row";
  if (cards.has(data.id[i])) {
    const link = element("a", String(data.id[i]));
    link.href = `#f${data.id[i]}`;
    head.append(link);
  } else head.append(String(data.id[i]));
  const cells = [percent(data.density[i]), number(data.max[i]), percent(data.mass[i])].map((text) => element("td", text));
  const shape = element("td"), fires = element("td"), logits = element("td"), flags = element("td");
  if (data.spark[i]) shape.append(spark(data.spark[i]));
  const label = data.texts[data.label[i]], top = data.texts[data.token[i]];
  if (label) {
    const name = element("span", label);
    name.dir = "auto";
    fires.append(name, " ");
  }
  if (top) fires.append(token(top));
  for (const k of data.logits[i]) logits.append(token(data.texts[k]), " ");
  for (const [bit, name] of data.flag_names) if (data.flags[i] & bit) flags.append(element("span", name, "flag"));
  row.append(head, ...cells, shape, fires, logits, flags);
  return row;
}

function more() {
  const rows = order.slice(drawn, drawn + PAGE).map(draw);
  drawn += rows.length;
  body.append(...rows);
}

function refill() {
  drawn = 0;
  body.replaceChildren();
  box.scrollTop = 0;
  more();
  const all = data.id.length.toLocaleString("en-US");
  const found = order.length.toLocaleString("en-US");
  document.getElementById("shown").textContent = order.length === data.id.length ? `All ${all} features.` : `${found} of ${all} features.`;
}

// One term of a query as a test on a row; null when it is not a filter (yet).
const COMPARED = { density: "density", max: "max", max_act: "max", mass: "mass", mass_share: "mass", id: "id" };
const lower = data.texts.map((text) => text.toLowerCase().replaceAll("␣", " "));
const contains = (k, wanted) => lower[k].includes(wanted);

function filter(term) {
  const compare = /^([a-z_]+)(<=|>=|<|>|=)([-+0-9.e%]+)$/.exec(term);
  if (compare && COMPARED[compare[1]]) {
    const column = data[COMPARED[compare[1]]];
    const bound = parseFloat(compare[3]) * (compare[3].endsWith("%") ? 0.01 : 1);
    if (Number.isNaN(bound)) return null;
    const holds = { "<": (x) => x < bound, ">": (x) => x > bound, "<=": (x) => x <= bound, ">=": (x) => x >= bound, "=": (x) => x === bound }[compare[2]];
    return (i) => column[i] !== null && holds(column[i]);
  }
  const [, key, wanted] = /^(?:(is|has|fires|promotes):)?(.*)$/.exec(term);
  if (!wanted) return null;
  if (key === "is") {
    const bits = data.flag_names.filter(([, name]) => name.replaceAll(" ", "").startsWith(wanted.replaceAll(/[ _-]/g, ""))).map(([bit]) => bit);
    return (i) => bits.some((bit) => data.flags[i] & bit);
  }
  if (key === "has") return (i) => wanted === "card" && cards.has(data.id[i]);
  if (key === "fires") return (i) => contains(data.token[i], wanted);
  if (key === "promotes") return (i) => data.logits[i].some((k) => contains(k, wanted));
  if (/^#?\d+$/.test(wanted)) return (i) => data.id[i] === Number(wanted.replace("#", ""));
  return (i) => contains(data.token[i], wanted) || contains(data.label[i], wanted) || data.logits[i].some((k) => contains(k, wanted));
}

function parse(query) {
  const terms = query.toLowerCase().match(/-?(?:[a-z]+:)?"[^"]*"|\S+/g) || [];
  return terms.flatMap((raw) => {
    const negated = raw.length > 1 && raw.startsWith("-");
    const test = filter((negated ? raw.slice(1) : raw).replaceAll('"', ""));
    return test ? [negated ? (i) => !test(i) : test] : [];
  });
}

function update() {
  const tests = parse(field.value);
  order = data.id.map((_, i) => i).filter((i) => tests.every((test) => test(i)));
  const column = sort.key === "token" ? data.token.map((k) => lower[k].trim()) : data[sort.key];
  const empty = (x) => x === null || x === "";
  order.sort((a, b) => {
    const x = column[a], y = column[b];
    if (empty(x) || empty(y)) return empty(x) - empty(y) || a - b; // unknown values last, whichever way
    return (x < y ? -1 : x > y ? 1 : 0) * (sort.down ? -1 : 1) || a - b;
  });
  refill();
}

function mark_sorted() {
  for (const head of document.querySelectorAll("#table th[data-sort]")) {
    if (head.dataset.sort === sort.key) head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

for (const head of document.querySelectorAll("#table th[data-sort]")) {
  const button = element("button", head.textContent);
  button.type = "button";
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const key = head.dataset.sort;
    sort = { key, down: sort.key === key ? !sort.down : !["id", "token"].includes(key) };
    mark_sorted();
    update();
  });
}
mark_sorted();
document.getElementById("search").hidden = false;
field.addEventListener("input", update);
field.addEventListener("keydown", (event) => {
  const wanted = /^#?(\d+)$/.exec(field.value.trim());
  if (event.key === "Enter" && wanted && cards.has(Number(wanted[1]))) location.hash = `f${wanted[1]}`;
});
box.addEventListener("scroll", () => {
  if (box.scrollTop + box.clientHeight > box.scrollHeight - 400 && drawn < order.length) more();
}, { passive: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea")) {
    event.preventDefault();
    field.focus();
  }
});
refill();
