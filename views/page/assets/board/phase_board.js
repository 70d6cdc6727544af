// The chart as nested boxes that the browser lays out, so that the text is readable at any width
// and screen readers see nested lists. Arrows are drawn over it.

// In pixels: smaller text is hard to read.
const LEAST_FONT = 11;

class PhaseBoard {
  constructor(place, table) {
    this.table = table;
    this.place = place;
    this.hidden = hiddenLeaves(table.chart);
    this.tree = boardTree(table.paths, this.hidden);
    this.boxes = new Map();
    this.arrows = new Arrows(boardEdges(table.chart));
    place.replaceChildren(this.arrows.element, this.flow(this.tree));
    this.arrows.plan(this.tree, this.boxes);
    this.hideUnusedLeaves();
  }

  flow(box) {
    const flow = newElement("ol", "flow");
    flow.dataset.flow = box.path === "" ? "root" : nestingDepth(box) <= 2 ? "row" : "column";
    box.flow = flow;
    for (const child of box.children) flow.append(this.box(child));
    return flow;
  }

  box(box) {
    const item = newElement("li", `phase ${box.children.length ? "scope" : "leaf"}`);
    item.dataset.phase = box.path;
    box.item = item;
    this.boxes.set(box.path, box);
    item.append(newElement("span", "name", box.name));
    if (box.children.length) item.append(this.flow(box));
    else this.leaf(box, item);
    return item;
  }

  leaf(box, item) {
    box.live = box.leaf ?? box.path;
    box.index = this.table.paths.indexOf(box.live);
    box.note = newElement("span", "note");
    box.times = newElement("span", "unseen");
    item.style.setProperty("--tone", `var(--tone-${this.table.leaves[box.index].tone})`);
    item.append(box.note, box.times, newElement("i", "meter"));
    if (!box.path.includes(".")) item.classList.add("rest");
  }

  // Leaves that only cancels or errors lead to are hidden until they are first entered.
  hideUnusedLeaves() {
    for (const box of this.boxes.values()) {
      const into = this.arrows.edges.filter((edge) => edge.to === box.path);
      const unused =
        box.index !== undefined && into.length > 0 && into.every((edge) => edge.kind !== "normal");
      box.item.classList.toggle("unused", unused && !box.item.classList.contains("rest"));
    }
  }

  // Smaller text where the rows are too wide or the chart too tall; if that is not enough, rows
  // that are too wide become columns, the outer ones first, and the chart can be scrolled.
  arrange() {
    const flows = [...this.boxes.values()]
      .filter((box) => box.children.length && nestingDepth(box) <= 2)
      .map((box) => box.flow);
    for (const flow of flows) flow.dataset.flow = "row";
    this.place.style.fontSize = "";
    if (!this.shrinkWhile(() => flows.some(isTooWide))) {
      this.place.style.fontSize = "";
      for (const flow of flows) if (isTooWide(flow)) flow.dataset.flow = "column";
    }
    this.shrinkWhile(() => isTooTall(this.place));
    this.arrows.route(this.boxes, this.place);
  }

  // Returns whether it helped.
  shrinkWhile(isTooLarge) {
    let size = parseFloat(getComputedStyle(this.place).fontSize);
    while (isTooLarge() && size > LEAST_FONT)
      this.place.style.fontSize = `${(size = Math.max(LEAST_FONT, size - 0.5))}px`;
    return !isTooLarge();
  }

  // Where the chart is still taller than its frame, scroll to the live phase when it has changed.
  follow(path) {
    if (path === this.followed) return;
    this.followed = path;
    const here = this.place.querySelector(".here");
    if (!here || !isTooTall(this.place)) return;
    const [box, frame] = [here, this.place].map((element) => element.getBoundingClientRect());
    if (box.top < frame.top || box.bottom > frame.bottom)
      this.place.scrollTop += box.top - frame.top - (frame.height - box.height) / 2;
  }

  show(totals, recent, state) {
    const entries = totals.entries;
    const work = recent.work || 1;
    let grown = this.arrows.show(totals.rows, recent.rows, state.row);
    for (const box of this.boxes.values()) {
      const isClosing =
        box.children.length > 0 &&
        parentPath(state.path) === box.path &&
        this.hidden.has(state.path);
      markCurrent(
        box.item,
        box.live === state.path || isClosing,
        box.children.length > 0 && isInside(state.path, box.path),
      );
      if (box.index === undefined) continue;
      this.showLeaf(
        box,
        entries[box.index],
        totals.leaves[box.index],
        recent.leaves[box.index] / work,
      );
      if (entries[box.index] && box.item.classList.contains("unused"))
        grown = !box.item.classList.remove("unused");
    }
    if (grown) this.arrange();
    this.follow(state.path);
  }

  showLeaf(box, n, time, share) {
    setText(box.note, n ? formatDuration(time / n) : "");
    setText(box.times, n ? ` mean of ${formatCount(n)}` : "");
    const heat = box.path.includes(".") ? Math.min(1, share || 0) : 0;
    box.item.style.setProperty("--heat", heat.toFixed(3));
    box.item.classList.toggle("never", !n);
    box.item.title = n
      ? `${box.live}\n${formatCount(n)}×, ` +
        `mean ${formatDuration(time / n)}, in all ${formatDuration(time)}`
      : box.live;
  }
}

function isTooTall(place) {
  return place.scrollHeight > place.clientHeight + 1;
}

function isTooWide(flow) {
  return flow.dataset.flow === "row" && flow.scrollWidth > flow.clientWidth + 1;
}

function markCurrent(item, here, around) {
  item.classList.toggle("here", here);
  item.classList.toggle("around", around && !here);
  if (here) item.setAttribute("aria-current", "step");
  else item.removeAttribute("aria-current");
}
