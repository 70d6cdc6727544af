// The chart as a board of boxes that the browser lays out, so that its text is readable at any
// width, and that a screen reader reads as nested lists; arrows are drawn over it.

class Board {
  constructor(place, names) {
    this.names = names;
    this.place = place;
    this.hidden = hiddenLeaves(names.chart);
    this.tree = boardTree(names.paths, this.hidden);
    this.boxes = new Map();
    this.wires = new Wires(boardEdges(names.chart));
    place.replaceChildren(this.wires.element, this.flow(this.tree));
    this.wires.place(this.tree, this.boxes);
    this.tellLateLeaves();
  }

  flow(box) {
    const flow = made("ol", "flow");
    flow.dataset.flow = box.path === "" ? "root" : heightOf(box) <= 2 ? "row" : "column";
    box.flow = flow;
    for (const child of box.children) flow.append(this.box(child));
    return flow;
  }

  box(box) {
    const item = made("li", `phase ${box.children.length ? "scope" : "leaf"}`);
    item.dataset.phase = box.path;
    box.item = item;
    this.boxes.set(box.path, box);
    item.append(made("span", "name", box.name));
    if (box.children.length) item.append(this.flow(box));
    else this.leaf(box, item);
    return item;
  }

  leaf(box, item) {
    box.live = box.leaf ?? box.path;
    box.index = this.names.paths.indexOf(box.live);
    box.note = made("span", "note");
    box.times = made("span", "unseen");
    item.style.setProperty("--tone", `var(--tone-${this.names.leaves[box.index].tone})`);
    item.append(box.note, box.times, made("i", "meter"));
    if (!box.path.includes(".")) item.classList.add("rest");
  }

  // Leaves that only a cancel leads to are there from the first time on.
  tellLateLeaves() {
    for (const box of this.boxes.values()) {
      const into = this.wires.edges.filter((edge) => edge.to === box.path);
      const late =
        box.index !== undefined && into.length > 0 && into.every((edge) => edge.kind !== "normal");
      box.item.classList.toggle("late", late && !box.item.classList.contains("rest"));
    }
  }

  // Rows that are too wide become columns, outer ones first.
  arrange() {
    const rows = [...this.boxes.values()].filter(
      (box) => box.children.length && heightOf(box) <= 2,
    );
    for (const { flow } of rows) flow.dataset.flow = "row";
    for (const { flow } of rows) if (isTooWide(flow)) flow.dataset.flow = "column";
    this.wires.route(this.boxes, this.place);
  }

  show(numbers, warmth, state) {
    const entries = numbers.entries;
    const work = warmth.work || 1;
    let grown = this.wires.show(numbers.rows, warmth.rows, state.row);
    for (const box of this.boxes.values()) {
      const ending =
        box.children.length > 0 && parent(state.path) === box.path && this.hidden.has(state.path);
      mark(
        box.item,
        box.live === state.path || ending,
        box.children.length > 0 && within(state.path, box.path),
      );
      if (box.index === undefined) continue;
      this.showLeaf(
        box,
        entries[box.index],
        numbers.leaves[box.index],
        warmth.leaves[box.index] / work,
      );
      if (entries[box.index] && box.item.classList.contains("late"))
        grown = !box.item.classList.remove("late");
    }
    if (grown) this.arrange();
  }

  showLeaf(box, n, time, share) {
    put(box.note, n ? span(time / n) : "");
    put(box.times, n ? ` mean of ${count(n)}` : "");
    const heat = box.path.includes(".") ? Math.min(1, share || 0) : 0;
    box.item.style.setProperty("--heat", heat.toFixed(3));
    box.item.classList.toggle("never", !n);
    box.item.title = n
      ? `${box.live}\n${count(n)}×, mean ${span(time / n)}, in all ${span(time)}`
      : box.live;
  }
}

function isTooWide(flow) {
  return flow.dataset.flow === "row" && flow.scrollWidth > flow.clientWidth + 1;
}

function mark(item, here, around) {
  item.classList.toggle("here", here);
  item.classList.toggle("around", around && !here);
  if (here) item.setAttribute("aria-current", "step");
  else item.removeAttribute("aria-current");
}
