// Where time goes: the share of each leaf phase, the largest first.

const mostShares = () => (innerHeight < 820 ? 6 : innerHeight < 1000 ? 8 : 11);

class TimeShares {
  constructor(stack, list, leaves) {
    this.leaves = leaves;
    this.rows = leaves.map((leaf) => this.row(leaf));
    stack.replaceChildren(...this.rows.map((row) => row.slice));
    list.replaceChildren();
    this.list = list;
    this.others = this.row({ name: "", context: "", tone: QUIET_TONE });
  }

  row(leaf) {
    const item = newElement("li"),
      name = newElement("span", "name", leaf.name);
    const row = {
      item,
      name,
      mean: newElement("span", "mean"),
      share: newElement("b"),
      bar: newElement("i"),
      handlers: newElement("i"),
      slice: newElement("i"),
    };
    if (leaf.context) name.append(" ", newElement("small", "", leaf.context));
    const meter = newElement("span", "meter");
    meter.append(row.bar, row.handlers);
    item.append(name, row.mean, row.share, meter);
    for (const part of [item, row.slice])
      part.style.setProperty("--tone", `var(--tone-${leaf.tone})`);
    return row;
  }

  show(totals) {
    const work = totals.work || 1;
    const entries = totals.entries;
    const shown = this.leaves
      .map((leaf, i) => ({ i, share: leaf.resting ? 0 : totals.leaves[i] / work }))
      .filter(({ share }) => share >= 0.0005)
      .sort((a, b) => b.share - a.share);
    this.rows.forEach((row, i) => {
      row.slice.style.width = `${this.leaves[i].resting ? 0 : (100 * totals.leaves[i]) / work}%`;
    });
    const most = mostShares();
    const first = shown.slice(0, shown.length > most ? most - 1 : most);
    for (const { i, share } of first)
      this.fill(
        this.rows[i],
        share,
        totals.inHandlers[i] / work,
        totals.leaves[i] / (entries[i] || 1),
      );
    reorder(this.list, [
      ...first.map(({ i }) => this.rows[i].item),
      ...this.rest(shown.slice(first.length)),
    ]);
  }

  rest(others) {
    setText(this.others.name, `${others.length} others`);
    setText(this.others.share, formatPercent(others.reduce((sum, { share }) => sum + share, 0)));
    return others.length ? [this.others.item] : [];
  }

  fill(row, share, inHandlers, mean) {
    setText(row.share, formatPercent(share));
    setText(row.mean, formatDuration(mean));
    row.bar.style.width = `${100 * share}%`;
    row.handlers.style.width = `${100 * Math.min(share, inHandlers)}%`;
    row.item.title =
      inHandlers > 0 ? `${formatPercent(inHandlers)} of the time in its handlers (hatched)` : "";
  }
}

function reorder(list, items) {
  items.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  while (list.children.length > items.length) list.lastChild.remove();
}
