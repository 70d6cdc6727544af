// Tables of what handlers and modules cost, and of cancels and errors.

class CostTables {
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

  show(totals, records) {
    const handlers = handlerRows(totals.main);
    const cancels = cancelRows(records, totals);
    this.handlers.show(handlers);
    this.modules.show(moduleRows(totals.main));
    this.cancels.show(cancels);
    byId("handlers-card").hidden = !handlers.length;
    byId("cancels-card").hidden = !cancels.length;
  }
}

function receiverCosts(totals) {
  return totals.table.receivers
    .map((receiver, id) => ({ ...receiver, calls: totals.calls[id], time: totals.times[id] }))
    .filter(({ calls, time }) => calls > 0 || time > 0)
    .sort((a, b) => b.time - a.time);
}

function handlerRows(totals) {
  return receiverCosts(totals).map(({ name, signal, calls, time }) => [
    name.endsWith(`.${signal}`) ? name : `${name} at ${signal}`,
    formatCount(calls),
    calls > 0 ? formatDuration(time / calls) : "–",
    formatDuration(time),
  ]);
}

// Calls and time of the handlers of each module, and their share of the time.
function moduleRows(totals) {
  const modules = new Map();
  for (const { module, calls, time } of receiverCosts(totals)) {
    const sum = modules.get(module) ?? { calls: 0, time: 0 };
    modules.set(module, { calls: sum.calls + calls, time: sum.time + time });
  }
  const work = totals.work || 1;
  return [...modules].map(([module, { calls, time }]) => [
    module,
    formatCount(calls),
    formatDuration(time),
    formatPercent(time / work),
  ]);
}

// The cancels of a part of the run, and those among them whose records are lost.
function cancelCount(records, { since, until }) {
  const { cancels } = records.events;
  const kept = cancels.countUpTo(until) - cancels.countUpTo(since - 1);
  const lost = since > 0 ? 0 : records.lostCancels + cancels.dropped;
  return { all: kept + lost, lost };
}

// Also cancels whose records, and so their reasons, are overwritten.
function cancelRows(records, totals) {
  const { cancels, errors } = records.events;
  const { since, until } = totals;
  const { lost } = cancelCount(records, totals);
  const first = formatTime(Math.max(records.first, cancels.times[0] ?? 0));
  const earlier = ["earlier ones, their reasons were overwritten", formatCount(lost)];
  return [
    ...eventRows(cancels, records.table.cancels, since, until),
    ...eventRows(errors, records.table.errors, since, until),
    ...(lost > 0 ? [[...earlier, `before ${first}`]] : []),
  ];
}

function eventRows(series, names, from, to) {
  const counts = new Map();
  for (let i = series.countUpTo(from - 1); i < series.countUpTo(to); i++) {
    const id = series.values[i];
    counts.set(id, { n: (counts.get(id)?.n ?? 0) + 1, last: series.times[i] });
  }
  return [...counts]
    .sort((a, b) => b[1].n - a[1].n)
    .map(([id, { n, last }]) => [names[id]?.text ?? "?", formatCount(n), formatTime(last)]);
}
