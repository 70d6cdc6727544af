// The top of the page: which run, where in the loop, how far, how fast; what is wrong with it.

const STATS = ["epoch", "batch", "rate", "loss", "lr", "elapsed", "cancels", "transitions"];

class Header {
  constructor() {
    this.values = new Map();
    const stats = byId("stats");
    stats.replaceChildren();
    for (const name of STATS) {
      const pair = made("div"),
        value = made("dd");
      pair.append(made("dt", "", name), value);
      stats.append(pair);
      this.values.set(name, value);
    }
  }

  show(stats, place) {
    for (const [name, value] of this.values) {
      put(value, stats[name] ?? "–");
      value.parentElement.hidden = stats[name] === undefined;
    }
    put(byId("path"), place.said);
    byId("pill").dataset.status = place.status;
    byId("pill").title = place.said;
  }
}

function statsOf(app, numbers) {
  const { view, records, live } = app;
  const there = records.at(Math.min(numbers.until, records.last));
  const [epoch, batch] = view.follow ? [live.epoch, live.batch] : [there.epoch, there.batch];
  const scalar = (name) => {
    const id = records.table.scalars.findIndex((entry) => entry?.name === name);
    return id < 0 ? undefined : records.events.scalars[id]?.at(numbers.until);
  };
  const seconds = (numbers.stop - numbers.start - unworked(numbers.shares)) / SECOND;
  const shown = (value) => (value === undefined ? undefined : number(value));
  return {
    epoch: outOf(epoch, live.n_epochs),
    batch: outOf(batch, view.follow ? live.n_batches : null),
    rate: `${rate(numbers.shares.triggered(/^begin_batch$/) / seconds)} batch/s`,
    loss: shown(scalar("loss") ?? scalar("train_loss")),
    lr: shown(scalar("lr")),
    elapsed: span(numbers.until - numbers.since),
    cancels: count(numbers.chart.triggered(/^after_cancel_/)),
    transitions: count(numbers.chart.made),
  };
}

// Time at rest, before, between and after fits, is no time of the loop.
function unworked(numbers) {
  return numbers.leaves.reduce((sum, ns) => sum + ns, 0) - numbers.work;
}

// Counted from 1, as people do; the recording counts from 0.
function outOf(index, n) {
  if (index === null || index < 0) return "–";
  return n === null || n === undefined ? count(index + 1) : `${count(index + 1)} / ${count(n)}`;
}

function placeOf(app, state) {
  const path = breadcrumbs(state.path || "not recorded");
  if (app.view.instant !== null) return { status: "replay", said: path };
  return { status: app.live.status, said: path };
}

// Told in red at the top and, once, to a screen reader.
function alarm(app, state) {
  const { live, view } = app;
  const banner = byId("banner");
  banner.hidden = !["died", "stuck"].includes(live.status);
  if (banner.hidden) return;
  const path = breadcrumbs(live.phase);
  const epoch = outOf(live.epoch, live.n_epochs),
    batch = outOf(live.batch, live.n_batches);
  const where = `in ${path}, epoch ${epoch}, batch ${batch}`;
  const since = span(Math.max(0, view.end - app.records.last));
  const what = live.status === "died" ? "PROCESS DIED" : "STUCK";
  const why =
    live.status === "died"
      ? `Process ${app.meta.pid} is gone; what is shown is the last that it did.`
      : `No transition for ${since}; usual there: ${span(live.usual)}.`;
  if (!banner.firstChild) banner.append(made("strong"), made("span"), made("span"));
  [what, where, why].forEach((text, i) => put(banner.children[i], text));
}
