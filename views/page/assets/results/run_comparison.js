// Two or more runs side by side: results first, then facts that differ, then times.

const letterOf = (i) => String.fromCharCode(65 + (i % 26));

class RunComparison {
  constructor(place) {
    this.place = place;
  }

  // `runs` have a title, and metrics, facts, epochs and phases as the server reads them.
  show(runs) {
    this.place.replaceChildren(
      this.part("Results", "metric", runs, metricLines(runs)),
      this.part("Facts that differ", "fact", runs, factLines(runs)),
      this.part("Time, median over epochs and its middle half", "", runs, timeLines(runs)),
    );
  }

  part(title, head, runs, lines) {
    const part = newElement("section", "compared");
    const frame = newElement("div", "wide"),
      table = newElement("table");
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", title);
    const changes = runs.length === 2 && lines.some((line) => line.change);
    const heads = [head, ...runs.map((run, i) => `${letterOf(i)} ${run.title}`)];
    const shown = new Table(table, changes ? [...heads, ""] : heads, title);
    shown.show(lines.map(({ name, cells, change }) => [name, ...cells, change?.text ?? ""]));
    lines.forEach(({ best, change }, row) => {
      const { cells } = shown.body.rows[row];
      if (best !== undefined) cells[best + 1].classList.add("best");
      if (changes && change?.kind) cells[cells.length - 1].classList.add(change.kind);
    });
    frame.append(table);
    part.append(newElement("h3", "", title));
    part.append(lines.length ? frame : newElement("p", "none", "none"));
    return part;
  }
}

function namesIn(runs, field) {
  return [...new Set(runs.flatMap((run) => Object.keys(run[field] ?? {})))];
}

// Those of the validation first.
function metricNames(runs) {
  const names = namesIn(runs, "metrics");
  const isValid = (name) => /^val/.test(name);
  return [...names.filter(isValid), ...names.filter((name) => !isValid(name))];
}

function metricLines(runs) {
  return metricNames(runs).map((name) => {
    const results = runs.map((run) => run.metrics?.[name]);
    return { name, cells: results.map(metricText), best: bestRun(results) };
  });
}

// `0.912, best 0.934 in epoch 7`
function metricText(result) {
  if (!result) return "–";
  const [last, best, epoch] = result;
  if (best === null || best === last) return formatNumber(last);
  return `${formatNumber(last)}, best ${formatNumber(best)} in epoch ${epoch + 1}`;
}

// The run with the best value, if the metric's name tells what is better and they differ.
function bestRun(results) {
  const known = results.filter((result) => result && result[1] !== null);
  if (known.length < 2) return undefined;
  const values = results.map((result) => result?.[1] ?? NaN);
  const finite = values.filter((value) => !Number.isNaN(value));
  const best = known[0][3] === "lower" ? Math.min(...finite) : Math.max(...finite);
  return finite.every((value) => value === best) ? undefined : values.indexOf(best);
}

function factLines(runs) {
  return namesIn(runs, "facts")
    .map((name) => ({ name, cells: runs.map((run) => run.facts?.[name] ?? "–") }))
    .filter(({ cells }) => new Set(cells).size > 1);
}

// The epoch, then the phases in which the most time of an epoch goes.
function timeLines(runs) {
  const line = (name, spreads) => {
    const [a, b] = spreads;
    const change = relativeChange(a?.[2], b?.[2], mayBeNoise(a, b));
    return { name, cells: spreads.map(formatSpread), change: a && b ? change : null };
  };
  return [
    line(
      "epoch",
      runs.map((run) => run.epochs),
    ),
    ...namesIn(runs, "phases")
      .map((path) =>
        line(
          breadcrumbs(path),
          runs.map((run) => run.phases?.[path]),
        ),
      )
      .filter(({ cells }) => cells.some((text) => text !== formatSpread(null))),
  ];
}
