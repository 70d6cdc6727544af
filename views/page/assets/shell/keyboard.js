// The keys and what they do; the help dialog lists them.

const KEYS = [
  [["ArrowLeft"], "←", "the previous transition", (app, view) => stepTransition(app, view, -1)],
  [["ArrowRight"], "→", "the next transition", (app, view) => stepTransition(app, view, 1)],
  [
    ["Shift+ArrowLeft"],
    "Shift ←",
    "the previous batch",
    (app, view) => stepTo(app, view, -1, beginsBatch),
  ],
  [
    ["Shift+ArrowRight"],
    "Shift →",
    "the next batch",
    (app, view) => stepTo(app, view, 1, beginsBatch),
  ],
  [
    ["C", "Shift+C"],
    "Shift C",
    "the previous cancel",
    (app, view) => stepTo(app, view, -1, isCancel),
  ],
  [["c"], "C", "the next cancel", (app, view) => stepTo(app, view, 1, isCancel)],
  [[" "], "Space", "replay, or pause it", (app, view) => togglePlay(view)],
  [["+", "=", "Shift++", "ArrowUp"], "+ or ↑", "zoom in", (app, view) => view.zoom(0.5)],
  [["-", "ArrowDown"], "− or ↓", "zoom out", (app, view) => view.zoom(2)],
  [["[", "PageUp"], "[", "move the window back", (app, view) => view.pan(-0.5)],
  [["]", "PageDown"], "]", "move the window on", (app, view) => view.pan(0.5)],
  [["Home"], "Home", "the beginning", (app, view) => view.select(view.first)],
  [["End"], "End", "the end", (app, view) => view.select(view.end)],
  [
    ["Escape"],
    "Esc",
    "clear the selected time, keep the window",
    (app, view) => view.clearInstant(),
  ],
  [["m", "M"], "M", "the curves of metrics, or the loop", (app) => app.views.toggle("curves")],
  [["p", "P"], "P", "the pictures, or the loop", (app) => app.views.toggle("pictures")],
  [["r", "R"], "R", "the runs, or the loop", (app) => app.views.toggle("runs")],
  [["f", "F"], "F", "the facts of this run, or the loop", (app) => app.views.toggle("facts")],
  [["/"], "/", "filter the runs", (app) => filterByKey(app)],
  [["l", "L"], "L", "back to the live end", (app, view) => view.followLive()],
  ...SPANS.map((span, i) => [
    [String(i + 1)],
    String(i + 1),
    span === Infinity ? "the whole run" : `the last ${span / SECOND} s`,
    (app, view) => view.followLive(span),
  ]),
  [["?", "Shift+?"], "?", "this list", () => byId("help").showModal()],
];

function listenToKeys(app) {
  byId("keys").replaceChildren(
    ...KEYS.flatMap(([, shown, text]) => [newElement("dt", "", shown), newElement("dd", "", text)]),
  );
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  document.addEventListener("keydown", (event) => {
    if (!app.records || isUsedByFocus(event) || event.ctrlKey || event.metaKey || event.altKey)
      return;
    const name = (event.shiftKey ? "Shift+" : "") + event.key;
    const key =
      KEYS.find(([names]) => names.includes(name)) ??
      (event.key.length === 1 ? KEYS.find(([names]) => names.includes(event.key)) : undefined);
    if (!key) return;
    event.preventDefault();
    key[3](app, app.view);
    app.requestDraw();
  });
}

// A focused button uses Space itself, a slider the arrow keys, a text field, a select and a dialog
// all keys.
function isUsedByFocus(event) {
  if (byId("help").open) return true;
  const { tagName: tag, type } = event.target;
  return (
    tag === "SELECT" ||
    type === "search" ||
    (tag === "INPUT" && (event.key.length > 1 || event.key === " ")) ||
    ((tag === "BUTTON" || tag === "A") && [" ", "Enter"].includes(event.key))
  );
}

function filterByKey(app) {
  app.views.show("runs");
  byId("run-filter").focus();
}

function stepTransition(app, view, direction) {
  stepTo(app, view, direction, () => true);
}

function beginsBatch(records, id) {
  return records.table.transitions[id].trigger === "begin_batch";
}
function isCancel(records, id) {
  return records.table.transitions[id].trigger.startsWith("after_cancel_");
}

// Select the nearest transition before or after the current time for which `fits` returns true.
function stepTo(app, view, direction, fits) {
  const { records } = app;
  const at = view.instant ?? (direction > 0 ? view.from : view.to);
  let i = direction > 0 ? records.countUpTo(at) : records.countUpTo(at) - 1;
  if (direction < 0) while (i >= 0 && records.times[i] >= at) i--;
  for (; i >= 0 && i < records.length; i += direction) {
    if (records.kind(i) === KIND.TRANSITION && fits(records, records.id(i))) break;
  }
  if (i >= 0 && i < records.length) view.select(records.times[i]);
}
