// The differences between two runs: the board with both means, and tables of phases, handlers and
// transitions.

const COLUMNS = ["count A", "count B", "mean A", "mean B", "", "total A", "total B", "B − A"];

const mean = (n, ns) => (n ? ns / n : 0);

class ComparisonBoard extends PhaseBoard {
  show(phases, rowCounts) {
    const byPath = new Map(phases.map(([path, ...numbers]) => [path, numbers]));
    for (const box of this.boxes.values())
      if (box.index !== undefined)
        this.showPair(box, byPath.get(box.live) ?? [0, 0, 0, 0, null, null]);
    this.arrows.showPairs(new Map(rowCounts.map(([row, a, b]) => [row, [a, b]])));
    this.arrange();
  }

  showPair(box, [n, ns, m, ms, ...spreads]) {
    const { text, kind } = relativeChange(mean(n, ns), mean(m, ms), mayBeNoise(...spreads));
    const meanText = (times, time) => (times ? formatDuration(mean(times, time)) : "–");
    setText(box.note, n || m ? `${meanText(n, ns)} → ${meanText(m, ms)}` : "");
    const label = newElement("span", "change", text.replace(" within spread", ""));
    label.title = text;
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

function differenceRow([name, n, ns, m, ms, ...spreads]) {
  const by = ms - ns;
  const sign = by > 0 ? "+" : by < 0 ? "−" : "";
  return [
    name,
    formatCount(n),
    formatCount(m),
    n ? formatDuration(mean(n, ns)) : "–",
    m ? formatDuration(mean(m, ms)) : "–",
    relativeChange(mean(n, ns), mean(m, ms), mayBeNoise(...spreads)).text,
    formatDuration(ns),
    formatDuration(ms),
    `${sign}${formatDuration(Math.abs(by))}`,
  ];
}

function fillTable(id, head, caption, differences) {
  const table = new Table(byId(id), [head, ...COLUMNS], caption);
  table.show(differences.map(differenceRow));
  differences.forEach(([, n, ns, m, ms, ...spreads], i) => {
    const { kind } = relativeChange(mean(n, ns), mean(m, ms), mayBeNoise(...spreads));
    if (kind) table.body.rows[i].cells[5].classList.add(kind);
  });
}

function showRuns({ a, b }) {
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
}

function showComparison(comparison) {
  showRuns(comparison);
  const titles = [comparison.a, comparison.b].map((runs) => runs.map(({ name }) => name)[0] ?? "");
  const results = comparison.results.map((run, i) => ({ ...run, title: titles[i] }));
  new RunComparison(byId("results")).show(results);
  const table = new SymbolTable(comparison.rows);
  const board = new ComparisonBoard(byId("board"), table);
  board.show(comparison.phases, comparison.row_counts);
  new ResizeObserver(() => board.arrange()).observe(byId("board"));
  const name = ["comparison", ...titles].join("-");
  const svg = () => boardSvg(byId("board"), readColours().card);
  byId("save-chart").append(pictureButtons("the loop", () => name, svg));
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
