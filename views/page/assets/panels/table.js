// A table that only writes cells whose text has changed.
class Table {
  constructor(place, heads, caption) {
    place.replaceChildren(
      newElement("caption", "unseen", caption),
      newElement("thead"),
      newElement("tbody"),
    );
    const row = newElement("tr");
    for (const head of heads) {
      const cell = newElement("th", "", head);
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
    cells.forEach((text, i) => setText(row.cells[i], text));
    row.cells[0].title = cells[0];
  }
}
