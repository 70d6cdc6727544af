// The differences between two runs: the board with both means, and tables of phases, handlers and
// transitions.

const COLUMNS = ["count A", "count B", "mean A", "mean B", "", "total A", "total B", "B − A"];

const mean = (n, ns) => (n ? ns / n : 0);

// With a sign as well as a colour, for readers who cannot distinguish the colours.
function relativeChange(before, after) {
  if (!before || !after) return { text: before ? "gone" : after ? "new" : "", kind: "" };
  const share = after / before - 1;
  if (Math.abs(share) < 0.005) return { text: "same", kind: "" };
  const text = `${share > 0 ? "▲ +" : "▼ −"}${(100 * Math.abs(share)).toFixed(0)} %`;
  return { text, kind: share > 0.02 ? "slower" : share < -0.02 ? "faster" : "" };
}

class ComparisonBoard extends PhaseBoard {
  show(phases, rowCounts) {
    const byPath = new Map(phases.map(([path, ...numbers]) => [path, numbers]));
    for (const box of this.boxes.values())
      if (box.index !== undefined) this.showPair(box, byPath.get(box.live) ?? [0, 0, 0, 0]);
    this.arrows.showPairs(new Map(rowCounts.map(([row, a, b]) => [row, [a, b]])));
    this.arrange();
  }

  showPair(box, [n, ns, m, ms]) {
    const { text, kind } = relativeChange(mean(n, ns), mean(m, ms));
    const meanText = (times, time) => (times ? formatDuration(mean(times, time)) : "–");
    setText(box.note, n || m ? `${meanText(n, ns)} → ${meanText(m, ms)}` : "");
    const label = newElement("span", "change", text);
    box.item.querySelector(".change")?.remove();
    if (text) box.item.append(label);
    if (kind) box.item.classList.add(kind);
    box.item.classList.toggle("never", !n && !m);
    if (n || m) box.item.classList.remove("unused");
  }
}

Arrows.prototype.showPairs = function (pairs) {
  for (const edge of this.edges) {
    const [a, b] = edge.rows.reduce(
      ([x, y], row) => [x + (pairs.get(row)?.[0] ?? 0), y + (pairs.get(row)?.[1] ?? 0)],
      [0, 0],
    );
    setText(
      edge.text,
      a === b ? (a ? formatShortCount(a) : "") : `${formatShortCount(a)}|${formatShortCount(b)}`,
    );
    setText(edge.title, `${edge.name}: ${formatCount(a)} in A, ${formatCount(b)} in B`);
    edge.used ||= a + b > 0;
    edge.group.classList.toggle("never", a + b === 0);
    edge.group.classList.toggle("recent", a !== b);
  }
  this.reserveLanes();
};

function differenceRow([name, n, ns, m, ms]) {
  const by = ms - ns;
  const sign = by > 0 ? "+" : by < 0 ? "−" : "";
  return [
    name,
    formatCount(n),
    formatCount(m),
    n ? formatDuration(mean(n, ns)) : "–",
    m ? formatDuration(mean(m, ms)) : "–",
    relativeChange(mean(n, ns), mean(m, ms)).text,
    formatDuration(ns),
    formatDuration(ms),
    `${sign}${formatDuration(Math.abs(by))}`,
  ];
}

function fillTable(id, head, caption, differences) {
  const table = new Table(byId(id), [head, ...COLUMNS], caption);
  table.show(differences.map(differenceRow));
  differences.forEach(([, n, ns, m, ms], i) => {
    const { kind } = relativeChange(mean(n, ns), mean(m, ms));
    if (kind) table.body.rows[i].cells[5].classList.add(kind);
  });
}

function showRuns({ a, b, phases }) {
  const lines = [
    ["A", a],
    ["B", b],
  ].flatMap(([letter, runs]) => runs.map(({ name, status }) => [letter, name, status]));
  byId("two").replaceChildren(
    ...lines.map(([letter, name, status]) => {
      const item = newElement("li");
      item.append(newElement("b", "", letter), ` ${name} `, newElement("small", "", status));
      return item;
    }),
  );
  const [before, after] = [2, 4].map((at) => phases.reduce((sum, phase) => sum + phase[at], 0));
  const stats = [
    ["time A", formatDuration(before)],
    ["time B", formatDuration(after)],
    ["B to A", relativeChange(before, after).text],
  ];
  byId("stats").replaceChildren(
    ...stats.map(([name, text]) => {
      const pair = newElement("div");
      pair.append(newElement("dt", "", name), newElement("dd", "", text));
      return pair;
    }),
  );
}

function showComparison(comparison) {
  showRuns(comparison);
  const table = new SymbolTable(comparison.rows);
  const board = new ComparisonBoard(byId("board"), table);
  board.show(comparison.phases, comparison.row_counts);
  new ResizeObserver(() => board.arrange()).observe(byId("board"));
  fillTable(
    "phases",
    "phase",
    "Differences of each phase",
    comparison.phases.map(([path, ...numbers]) => [breadcrumbs(path), ...numbers]),
  );
  fillTable("receivers", "handler", "Differences of each handler", comparison.receivers);
  fillTable("transitions", "transition", "Differences of each transition", comparison.transitions);
  byId("receivers-card").hidden = !comparison.receivers.length;
  document.body.dataset.ready = "true";
}

showComparison(JSON.parse(byId("comparison").textContent));
