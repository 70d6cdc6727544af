// Mouse, touch and buttons of the timeline.

const CLICK_DISTANCE = 4;
const GRIP_WIDTH = 8;

class Controls {
  constructor(app) {
    this.app = app;
    this.selected = null;
    this.addGesture(
      "lanes",
      () => app.lanes.scale,
      (time, x) => this.pressLanes(time, x),
    );
    this.addGesture(
      "overview",
      () => app.overview.scale,
      (time, x) => this.pressOverview(time, x),
    );
    byId("lanes").addEventListener("pointermove", (event) => this.hover(event));
    byId("lanes").addEventListener("pointerleave", () => {
      byId("tip").hidden = true;
    });
    byId("lanes").addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    for (const id of ["lanes", "overview"])
      byId(id).addEventListener("dblclick", () => this.act(() => this.wholeRun()));
    this.buttons();
  }

  act(change) {
    change(this.app.view);
    this.app.requestDraw();
  }

  wholeRun() {
    const { view } = this.app;
    view.clearInstant();
    view.show(view.first, view.end);
  }

  // `press` returns the `move`, `drop` and `click` callbacks of a gesture.
  addGesture(id, scale, press) {
    const element = byId(id);
    const place = (event) => event.clientX - element.getBoundingClientRect().left;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !scale()) return;
      element.setPointerCapture(event.pointerId);
      const start = place(event);
      const gesture = press(scale().time(start), start);
      this.gesture = { id, start, moved: false, ...gesture };
    });
    element.addEventListener("pointermove", (event) => {
      const { gesture } = this;
      if (gesture?.id !== id) return;
      gesture.moved ||= Math.abs(place(event) - gesture.start) > CLICK_DISTANCE;
      if (gesture.moved) this.act(() => gesture.move(place(event)));
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      element.addEventListener(kind, (event) =>
        this.release(id, kind === "pointerup", place(event)),
      );
    }
  }

  release(id, done, x) {
    const { gesture } = this;
    if (gesture?.id !== id) return;
    this.gesture = null;
    this.selected = null;
    this.act(() => {
      if (done) (gesture.moved ? gesture.drop : gesture.click)?.(x);
    });
  }

  // Drag: zoom to that range. Drag the cursor: scrub. Click: select that time.
  pressLanes(time, x) {
    const { view, lanes } = this.app;
    const scale = lanes.scale;
    const scrub = (to) => view.select(clamp(scale.time(to), view.from, view.to));
    if (view.instant !== null && Math.abs(scale.x(view.instant) - x) < GRIP_WIDTH)
      return { move: scrub };
    const kept = clamp(time, view.from, view.to);
    return {
      move: (to) => {
        this.selected = [kept, clamp(scale.time(to), view.from, view.to)];
      },
      drop: (to) => this.zoomTo(kept, clamp(scale.time(to), view.from, view.to)),
      click: () => scrub(x),
    };
  }

  zoomTo(one, other) {
    this.app.view.clearInstant();
    this.app.view.show(Math.min(one, other), Math.max(one, other));
  }

  // Drag inside the window: move it. Drag elsewhere: a new window. Click: select that time.
  pressOverview(time) {
    const { view, overview } = this.app;
    const scale = overview.scale;
    const { from, to, first, end } = view;
    const part = to - from < 0.98 * (end - first);
    const click = () => view.select(time);
    if (part && time > from && time < to) {
      return {
        move: (x) => view.show(...shiftWindow(from, to, scale.time(x) - time, first, end)),
        click,
      };
    }
    return {
      move: (x) => this.zoomTo(clamp(time, first, end), clamp(scale.time(x), first, end)),
      click,
    };
  }

  hover(event) {
    const tip = byId("tip"),
      { lanes, records, view } = this.app;
    const box = byId("lanes").getBoundingClientRect();
    const x = event.clientX - box.left;
    tip.hidden = !lanes.scale || x < lanes.left || event.pointerType === "touch" || !records.length;
    if (tip.hidden) return;
    const time = clamp(lanes.scale.time(x), view.from, view.to);
    setText(tip, tooltipText(records, time, lanes.scale.perPixel));
    const left = clamp(x + 14, 0, box.width - tip.offsetWidth);
    tip.style.left = `${left > x ? left : Math.max(0, x - 14 - tip.offsetWidth)}px`;
    tip.style.top = `${clamp(event.clientY - box.top - tip.offsetHeight - 12, 0, box.height)}px`;
  }

  // Scrolling vertically scrolls the page; sideways it moves the window; with Ctrl, or a pinch, it
  // zooms.
  wheel(event) {
    const { view, lanes } = this.app;
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!event.ctrlKey && !sideways) return;
    event.preventDefault();
    const x = event.clientX - byId("lanes").getBoundingClientRect().left;
    this.act(() => {
      if (event.ctrlKey)
        view.zoom(Math.exp(clamp(event.deltaY, -100, 100) / 200), lanes.scale.time(x));
      else view.pan(event.deltaX / lanes.canvas.width);
    });
  }

  buttons() {
    const press = (id, change) => byId(id).addEventListener("click", () => this.act(change));
    press("live", (view) => view.followLive());
    press("play", (view) => togglePlay(view));
    press("earlier", (view) => stepTransition(this.app, view, -1));
    press("later", (view) => stepTransition(this.app, view, 1));
    this.windows();
    const speed = byId("speed");
    speed.replaceChildren(
      ...SPEEDS.map(([text, value]) => new Option(text, value, value === 1, value === 1)),
    );
    speed.addEventListener("change", () => {
      this.app.view.speed = Number(speed.value);
    });
  }

  windows() {
    byId("windows").replaceChildren(
      ...SPANS.map((span) => {
        const button = newElement("button", "", span === Infinity ? "all" : `${span / SECOND} s`);
        button.type = "button";
        button.dataset.span = span;
        button.addEventListener("click", () => this.act((view) => view.followLive(span)));
        return button;
      }),
    );
  }

  show() {
    const { view } = this.app;
    byId("live").setAttribute("aria-pressed", String(view.follow));
    byId("play").setAttribute("aria-pressed", String(view.playing));
    setText(byId("play"), view.playing ? "pause" : "replay");
    for (const button of byId("windows").children) {
      button.setAttribute(
        "aria-pressed",
        String(view.follow && Number(button.dataset.span) === view.span),
      );
    }
  }
}

function togglePlay(view) {
  if (!view.playing && (view.instant === null || view.instant >= view.end)) view.select(view.from);
  view.playing = !view.playing;
}

function tooltipText(records, time, perPixel) {
  const state = records.stateAt(time);
  const leaf = records.table.leaves[state.leaf];
  const lines = [
    `${formatTime(time, perPixel)}  ${leaf ? breadcrumbs(leaf.path) : "not recorded"}`,
  ];
  if (leaf) lines.push(`for ${formatDuration(time - state.since)} so far`);
  if (state.epoch >= 0)
    lines.push(`epoch ${formatProgress(state.epoch)}, batch ${formatProgress(state.batch)}`);
  if (state.receiver >= 0) lines.push(`in ${records.table.receivers[state.receiver].name}`);
  const { cancels } = records.events;
  const near = cancels.countUpTo(time + 5 * perPixel) - 1;
  if (near >= 0 && Math.abs(cancels.times[near] - time) <= 5 * perPixel) {
    const cancel = records.table.cancels[cancels.values[near]];
    if (cancel) lines.push(`cancelled ${cancel.text}, by ${cancel.by}`);
  }
  return lines.join("\n");
}

function shiftWindow(from, to, by, first, end) {
  const kept = clamp(by, first - from, end - to);
  return [from + kept, to + kept];
}
