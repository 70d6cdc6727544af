// How two runs differ: the board with both means, and a table for phases, handlers, transitions.

const HEADS = ["count A", "count B", "mean A", "mean B", "", "total A", "total B", "B − A"];

const mean = (n, ns) => (n ? ns / n : 0);

// Slower or faster by a sign and a word, too: colour alone says nothing to some.
function change(before, after) {
  if (!before || !after) return { text: before ? "gone" : after ? "new" : "", kind: "" };
  const share = after / before - 1;
  if (Math.abs(share) < 0.005) return { text: "same", kind: "" };
  const text = `${share > 0 ? "▲ +" : "▼ −"}${(100 * Math.abs(share)).toFixed(0)} %`;
  return { text, kind: share > 0.02 ? "slower" : share < -0.02 ? "faster" : "" };
}

class ComparedBoard extends Board {
  show(phases, made) {
    const of = new Map(phases.map(([path, ...numbers]) => [path, numbers]));
    for (const box of this.boxes.values())
      if (box.index !== undefined) this.showPair(box, of.get(box.live) ?? [0, 0, 0, 0]);
    this.wires.showPairs(new Map(made.map(([row, a, b]) => [row, [a, b]])));
    this.arrange();
  }

  showPair(box, [n, ns, m, ms]) {
    const { text, kind } = change(mean(n, ns), mean(m, ms));
    const told = (times, time) => (times ? span(mean(times, time)) : "–");
    put(box.note, n || m ? `${told(n, ns)} → ${told(m, ms)}` : "");
    const said = made("span", "change", text);
    box.item.querySelector(".change")?.remove();
    if (text) box.item.append(said);
    if (kind) box.item.classList.add(kind);
    box.item.classList.toggle("never", !n && !m);
    if (n || m) box.item.classList.remove("late");
  }
}

Wires.prototype.showPairs = function (pairs) {
  for (const edge of this.edges) {
    const [a, b] = edge.rows.reduce(
      ([x, y], row) => [x + (pairs.get(row)?.[0] ?? 0), y + (pairs.get(row)?.[1] ?? 0)],
      [0, 0],
    );
    put(edge.text, a === b ? (a ? short(a) : "") : `${short(a)}|${short(b)}`);
    put(edge.title, `${edge.name}: ${count(a)} in A, ${count(b)} in B`);
    edge.used ||= a + b > 0;
    edge.group.classList.toggle("never", a + b === 0);
    edge.group.classList.toggle("warm", a !== b);
  }
  this.reserve();
};

function differenceRow([name, n, ns, m, ms]) {
  const by = ms - ns;
  const sign = by > 0 ? "+" : by < 0 ? "−" : "";
  return [
    name,
    count(n),
    count(m),
    n ? span(mean(n, ns)) : "–",
    m ? span(mean(m, ms)) : "–",
    change(mean(n, ns), mean(m, ms)).text,
    span(ns),
    span(ms),
    `${sign}${span(Math.abs(by))}`,
  ];
}

function fillTable(id, head, caption, differences) {
  const table = new Table(byId(id), [head, ...HEADS], caption);
  table.show(differences.map(differenceRow));
  differences.forEach(([, n, ns, m, ms], i) => {
    const { kind } = change(mean(n, ns), mean(m, ms));
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
      const item = made("li");
      item.append(made("b", "", letter), ` ${name} `, made("small", "", status));
      return item;
    }),
  );
  const [before, after] = [2, 4].map((at) => phases.reduce((sum, phase) => sum + phase[at], 0));
  const stats = [
    ["time A", span(before)],
    ["time B", span(after)],
    ["B to A", change(before, after).text],
  ];
  byId("stats").replaceChildren(
    ...stats.map(([name, text]) => {
      const pair = made("div");
      pair.append(made("dt", "", name), made("dd", "", text));
      return pair;
    }),
  );
}

function compareRuns(told) {
  showRuns(told);
  const names = new Names(told.rows);
  const board = new ComparedBoard(byId("board"), names);
  board.show(told.phases, told.made);
  new ResizeObserver(() => board.arrange()).observe(byId("board"));
  fillTable(
    "phases",
    "phase",
    "Differences of each phase",
    told.phases.map(([path, ...numbers]) => [breadcrumbs(path), ...numbers]),
  );
  fillTable("receivers", "handler", "Differences of each handler", told.receivers);
  fillTable("transitions", "transition", "Differences of each transition", told.transitions);
  byId("receivers-card").hidden = !told.receivers.length;
  document.body.dataset.ready = "true";
}

compareRuns(JSON.parse(byId("comparison").textContent));
