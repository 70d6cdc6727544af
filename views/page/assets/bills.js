// What handlers and modules cost, what was cancelled; and of which part of the run that is told.

class Bills {
  constructor() {
    this.handlers = new Table(
      byId("handlers"),
      ["handler", "calls", "mean", "total"],
      "Cost of each handler",
    );
    this.modules = new Table(
      byId("modules"),
      ["module", "calls", "total", "share"],
      "Cost of the handlers of each module",
    );
    this.cancels = new Table(byId("cancels"), ["what", "count", "last at"], "Cancels and errors");
  }

  show(numbers, records) {
    const handlers = handlerRows(numbers.chart);
    const cancels = cancelRows(records, numbers.since, numbers.until);
    this.handlers.show(handlers);
    this.modules.show(moduleRows(numbers.chart));
    this.cancels.show(cancels);
    byId("handlers-card").hidden = !handlers.length;
    byId("cancels-card").hidden = !cancels.length;
  }
}

function showScopes(view, numbers) {
  for (const id of ["chart", "handlers", "cancels"]) put(byId(`${id}-scope`), `· ${numbers.said}`);
  put(byId("shares-scope"), `· ${scopeOfShares(view, numbers)}`);
  put(byId("where"), placeInTime(view));
}

function scopeOfShares(view, numbers) {
  if (view.instant !== null) return `the second before ${instant(numbers.stop, 1e6)}`;
  if (view.follow && view.span < Infinity) return `last ${span(numbers.stop - numbers.start)}`;
  return numbers.said;
}

function placeInTime(view) {
  if (view.instant !== null) return `at ${instant(view.instant, 1e3)}`;
  return range(view.from, view.to);
}

function noteOf(meta, records) {
  const lost = records.first > SECOND || records.dropped;
  const early = lost
    ? ` Records before ${instant(records.first)} are overwritten; the totals are exact.`
    : "";
  const ranks = meta.world > 1 ? `, rank ${meta.rank} of ${meta.world}` : "";
  const untimed = meta.timing ? "" : "; handlers were not timed";
  return `Host time${untimed}. Process ${meta.pid} on ${meta.host}${ranks}.${early}`;
}
