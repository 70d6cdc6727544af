// The table of runs: sorted by click on a head, a run opened by click or Enter, marked to compare.

class RunTable {
  constructor(place, { open, mark }) {
    this.place = place;
    this.open = open;
    this.mark = mark;
    this.rows = new Map();
    this.order = { key: "age", down: false };
    place.replaceChildren(newElement("caption", "unseen", "Runs"), newElement("thead"));
    this.head = place.tHead.insertRow();
    this.body = place.createTBody();
    this.body.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(runs, columns, marked, opened) {
    this.shown = [runs, columns, marked, opened];
    this.showHeads(columns);
    const column = columns.find(({ key }) => key === this.order.key) ?? columns[2];
    const sorted = runs
      .map((run) => [column.sort(run), run])
      .sort(([a], [b]) => compareValues(a, b) * (this.order.down ? -1 : 1))
      .map(([, run]) => run);
    for (const run of sorted) this.fill(this.row(run), run, columns, marked, opened);
    for (const [id, row] of this.rows)
      if (!sorted.some((run) => run.id === id)) this.rows.delete(id) && row.remove();
    reorder(
      this.body,
      sorted.map((run) => this.rows.get(run.id)),
    );
  }

  showHeads(columns) {
    const key = columns.map((column) => column.key).join();
    if (key !== this.headKey)
      this.head.replaceChildren(
        newElement("th", "", "compare"),
        ...columns.map((c) => this.headOf(c)),
      );
    this.headKey = key;
    columns.forEach((column, i) => {
      const sorted = this.order.down ? "descending" : "ascending";
      this.head.cells[i + 1].ariaSort = column.key === this.order.key ? sorted : "none";
    });
  }

  headOf(column) {
    const cell = newElement("th");
    const button = newElement("button", "sort", column.title);
    button.type = "button";
    button.addEventListener("click", () => {
      this.order = { key: column.key, down: this.order.key === column.key && !this.order.down };
      this.show(...this.shown);
    });
    cell.scope = "col";
    cell.append(button);
    return cell;
  }

  row(run) {
    if (!this.rows.has(run.id)) this.rows.set(run.id, this.newRow(run.id));
    return this.rows.get(run.id);
  }

  newRow(id) {
    const row = newElement("tr");
    const check = newElement("input"),
      name = newElement("button", "link");
    check.type = "checkbox";
    check.addEventListener("change", () => this.mark(id, check.checked));
    name.type = "button";
    name.addEventListener("click", () => this.open(id));
    row.dataset.run = id;
    row.insertCell().append(check);
    row.insertCell().append(name);
    this.body.append(row);
    return row;
  }

  fill(row, run, columns, marked, opened) {
    while (row.cells.length > columns.length + 1) row.deleteCell(-1);
    while (row.cells.length <= columns.length) row.insertCell();
    row.classList.toggle("opened", run.id === opened);
    const check = row.cells[0].firstChild;
    check.checked = marked.has(run.id);
    check.ariaLabel = `compare ${titleOf(run)}`;
    columns.forEach((column, i) => {
      const text = String(column.text(run));
      setText(i ? row.cells[i + 1] : row.cells[1].firstChild, text);
      const hint = column.hint?.(run) ?? text;
      if (row.cells[i + 1].title !== hint) row.cells[i + 1].title = hint;
    });
  }

  // Up and down between the runs; space on a name marks the run.
  onKey(event) {
    const row = event.target.closest("tr");
    const next = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (next) row[next]?.querySelector(".link").focus();
    else if (event.key === " " && event.target.className === "link")
      row.querySelector("input").click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
