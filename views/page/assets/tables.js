// Beside the chart: where time goes, what handlers cost, what was cancelled.

const MOST_SHARES = 11;

class Shares {
  constructor(stack, list, leaves) {
    this.leaves = leaves;
    this.rows = leaves.map((leaf) => this.row(leaf));
    stack.replaceChildren(...this.rows.map((row) => row.slice));
    list.replaceChildren();
    this.list = list;
    this.others = this.row({ name: "", context: "", tone: QUIET_TONE });
  }

  row(leaf) {
    const item = made("li"),
      name = made("span", "name", leaf.name);
    const row = {
      item,
      name,
      mean: made("span", "mean"),
      share: made("b"),
      bar: made("i"),
      handlers: made("i"),
      slice: made("i"),
    };
    if (leaf.context) name.append(" ", made("small", "", leaf.context));
    const meter = made("span", "meter");
    meter.append(row.bar, row.handlers);
    item.append(name, row.mean, row.share, meter);
    for (const part of [item, row.slice])
      part.style.setProperty("--tone", `var(--tone-${leaf.tone})`);
    return row;
  }

  show(numbers) {
    const work = numbers.work || 1;
    const entries = numbers.entries;
    const shown = this.leaves
      .map((leaf, i) => ({ i, share: leaf.resting ? 0 : numbers.leaves[i] / work }))
      .filter(({ share }) => share >= 0.0005)
      .sort((a, b) => b.share - a.share);
    this.rows.forEach((row, i) => {
      row.slice.style.width = `${this.leaves[i].resting ? 0 : (100 * numbers.leaves[i]) / work}%`;
    });
    const first = shown.slice(0, shown.length > MOST_SHARES ? MOST_SHARES - 1 : MOST_SHARES);
    for (const { i, share } of first)
      this.fill(
        this.rows[i],
        share,
        numbers.inHandlers[i] / work,
        numbers.leaves[i] / (entries[i] || 1),
      );
    reorder(this.list, [
      ...first.map(({ i }) => this.rows[i].item),
      ...this.rest(shown.slice(first.length)),
    ]);
  }

  rest(others) {
    put(this.others.name, `${others.length} others`);
    put(this.others.share, percent(others.reduce((sum, { share }) => sum + share, 0)));
    return others.length ? [this.others.item] : [];
  }

  fill(row, share, inHandlers, mean) {
    put(row.share, percent(share));
    put(row.mean, span(mean));
    row.bar.style.width = `${100 * share}%`;
    row.handlers.style.width = `${100 * Math.min(share, inHandlers)}%`;
    row.item.title =
      inHandlers > 0 ? `${percent(inHandlers)} of the time in its handlers (hatched)` : "";
  }
}

function reorder(list, items) {
  items.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  while (list.children.length > items.length) list.lastChild.remove();
}

// A table whose cells are only written where they changed.
class Table {
  constructor(place, heads, caption) {
    place.replaceChildren(made("caption", "unseen", caption), made("thead"), made("tbody"));
    const row = made("tr");
    for (const head of heads) {
      const cell = made("th", "", head);
      cell.scope = "col";
      row.append(cell);
    }
    place.tHead.append(row);
    this.body = place.tBodies[0];
    this.width = heads.length;
    this.place = place;
  }

  show(rows) {
    while (this.body.rows.length > rows.length) this.body.deleteRow(-1);
    rows.forEach((cells, i) => this.fill(this.body.rows[i] ?? this.add(), cells));
  }

  add() {
    const row = this.body.insertRow();
    for (let i = 0; i < this.width; i++) row.insertCell();
    return row;
  }

  fill(row, cells) {
    cells.forEach((text, i) => put(row.cells[i], text));
    row.cells[0].title = cells[0];
  }
}

function bill(numbers) {
  return numbers.table.receivers
    .map((receiver, id) => ({ ...receiver, calls: numbers.calls[id], time: numbers.times[id] }))
    .filter(({ calls }) => calls > 0)
    .sort((a, b) => b.time - a.time);
}

function handlerRows(numbers) {
  return bill(numbers).map(({ name, signal, calls, time }) => [
    name.endsWith(`.${signal}`) ? name : `${name} at ${signal}`,
    count(calls),
    span(time / calls),
    span(time),
  ]);
}

// What the handlers of each module come to, and their share of the time.
function moduleRows(numbers) {
  const modules = new Map();
  for (const { module, calls, time } of bill(numbers)) {
    const sum = modules.get(module) ?? { calls: 0, time: 0 };
    modules.set(module, { calls: sum.calls + calls, time: sum.time + time });
  }
  const work = numbers.work || 1;
  return [...modules].map(([module, { calls, time }]) => [
    module,
    count(calls),
    span(time),
    percent(time / work),
  ]);
}

function cancelRows(records, from, to) {
  const { cancels, errors } = records.events;
  return [
    ...told(cancels, records.table.cancels, from, to),
    ...told(errors, records.table.errors, from, to),
  ];
}

function told(series, names, from, to) {
  const found = new Map();
  for (let i = series.upTo(from - 1); i < series.upTo(to); i++) {
    const id = series.values[i];
    found.set(id, { n: (found.get(id)?.n ?? 0) + 1, last: series.times[i] });
  }
  return [...found]
    .sort((a, b) => b[1].n - a[1].n)
    .map(([id, { n, last }]) => [names[id]?.text ?? "?", count(n), instant(last)]);
}
