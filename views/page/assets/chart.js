// The drawn chart, with all its rows: where the loop is, how often it went where, what is warm.

// Whether it is shown instead of the board; it is fetched when it is asked for.
class Drawing {
  constructor(app) {
    this.app = app;
    this.chart = null;
    this.toggle(false);
    byId("drawn").onclick = () => this.toggle(byId("chart").hidden);
  }

  async toggle(shown) {
    byId("chart").hidden = !shown;
    byId("board").hidden = shown;
    byId("drawn").setAttribute("aria-pressed", String(shown));
    if (!shown || this.chart) return;
    const { app } = this;
    const svg = await app.source.chart(app.opened);
    this.chart = new Chart(byId("chart"), svg, app.names, app.names.leaves);
    app.touch();
  }

  show(numbers, warmth, state) {
    if (!byId("chart").hidden) this.chart?.show(numbers, warmth, state);
  }
}

class Chart {
  constructor(place, svg, table, leaves) {
    this.table = table;
    this.phases = new Map();
    this.arrows = [];
    place.replaceChildren();
    const drawn = svg ? parse(svg) : null;
    if (drawn === null) return;
    place.append(drawn);
    for (const group of drawn.querySelectorAll("g.phase"))
      this.phases.set(group.dataset.phase, group);
    for (const group of drawn.querySelectorAll("g.arrow")) this.arrows.push(arrowOf(group));
    this.leaves = leaves.map((leaf) => this.leafOf(leaf)).filter(Boolean);
  }

  leafOf(leaf) {
    const group = this.phases.get(leaf.path);
    if (!group) return null;
    const index = this.table.leaves.findIndex((other) => other.path === leaf.path);
    group.style.setProperty("--tone", `var(--tone-${leaf.tone})`);
    const meter = group.querySelector("rect") ? meterIn(group) : null;
    return { index, group, meter, note: group.querySelector(".note") };
  }

  show(numbers, warmth, state) {
    const entries = numbers.entries;
    const work = warmth.work || 1;
    for (const leaf of this.leaves ?? [])
      this.showLeaf(leaf, entries, numbers, warmth.leaves[leaf.index] / work);
    const rows = numbers.rows;
    for (const arrow of this.arrows) showArrow(arrow, rows, warmth.rows, state.row);
    this.light(state.path);
  }

  showLeaf({ index, group, meter, note }, entries, numbers, share) {
    const n = entries[index];
    put(note, n ? `${count(n)}× · ${span(numbers.leaves[index] / n)}` : "");
    group.style.setProperty("--heat", share.toFixed(3));
    group.classList.toggle("never", !n);
    if (meter) meter.setAttribute("width", (meter.full * Math.min(1, share)).toFixed(1));
  }

  light(path) {
    if (path === this.lit) return;
    this.lit = path;
    for (const [phase, group] of this.phases) {
      group.classList.toggle("here", phase === path);
      group.classList.toggle("around", path.startsWith(`${phase}.`));
    }
  }
}

// An element of its own, without scripts; its style sheet is adopted, since the policy of the page
// allows none in its text.
function parse(svg) {
  const styles = [];
  const text = svg.replace(/<style>([^]*?)<\/style>/g, (_, style) => {
    styles.push(style);
    return "";
  });
  const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  if (root.nodeName !== "svg") return null;
  for (const script of root.querySelectorAll("script, foreignObject, a")) script.remove();
  document.adoptedStyleSheets = styles.map(sheet);
  for (const name of ["width", "height"]) root.removeAttribute(name);
  root.setAttribute("role", "img");
  root.setAttribute("aria-label", "Chart of the loop; the list of phases says the same");
  return document.importNode(root, true);
}

function sheet(text) {
  const made_ = new CSSStyleSheet();
  made_.replaceSync(text);
  return made_;
}

function arrowOf(group) {
  const rows = (group.dataset.rows ?? "").split(" ").filter(Boolean).map(Number);
  return { group, rows, count: group.querySelector(".count") };
}

function showArrow({ group, rows, count: text }, totals, warm, live) {
  const sum = rows.reduce((n, row) => n + totals[row], 0);
  put(text, sum ? count(sum) : "");
  group.classList.toggle("never", !sum);
  group.classList.toggle(
    "warm",
    rows.some((row) => warm[row] > 0),
  );
  group.classList.toggle("taken", rows.includes(live));
}

// A line along the foot of a box, as long as its share of the time: colour is not the only sign.
function meterIn(group) {
  const box = group.querySelector("rect");
  const [x, y, width, height] = ["x", "y", "width", "height"].map((name) =>
    Number(box.getAttribute(name)),
  );
  const meter = document.createElementNS(SVG, "rect");
  const set = { x: x + 7, y: y + height - 6, width: 0, height: 3, rx: 1.5, class: "meter" };
  for (const [name, value] of Object.entries(set)) meter.setAttribute(name, value);
  meter.full = width - 14;
  box.after(meter);
  return meter;
}
