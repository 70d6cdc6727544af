// The columns of the table of runs: what each shows, and by what it is sorted.

const FIXED_COLUMNS = [
  { key: "name", title: "recording", text: titleOf, sort: titleOf },
  { key: "state", title: "state", text: statusOf, sort: statusOf },
  {
    key: "age",
    title: "begun",
    text: (run) => formatAge(Date.now() - run.wall_ns / 1e6),
    sort: (run) => -run.wall_ns,
  },
  {
    key: "epoch",
    title: "epoch",
    text: (run) => formatProgress(run.epoch, run.n_epochs),
    sort: (run) => run.epoch ?? -1,
  },
];

// Then a column for each metric, and for each fact that differs between the runs.
function runColumns(runs) {
  const metrics = metricNames(runs).map((name) => metricColumn(name));
  const facts = factLines(runs).map(({ name }) => factColumn(name));
  return [...FIXED_COLUMNS, ...metrics.filter(({ rate }) => !rate), ...facts];
}

function metricColumn(name) {
  const result = (run) => run.metrics?.[name];
  return {
    key: `metric ${name}`,
    title: name,
    rate: name === "lr",
    text: (run) => shortMetric(result(run)),
    hint: (run) => metricText(result(run)),
    sort: (run) => bestFirst(result(run)),
  };
}

// `0.912 · best 0.934`
function shortMetric(result) {
  if (!result) return "–";
  const [last, best] = result;
  const more = best === null || best === last ? "" : ` · best ${formatNumber(best)}`;
  return `${formatNumber(last)}${more}`;
}

// Smaller for a better value, so that the first click puts the best run on top.
function bestFirst(result) {
  if (!result) return Infinity;
  const [last, best, , better] = result;
  return better === "higher" ? -best : (best ?? last);
}

function factColumn(name) {
  const value = (run) => run.facts?.[name] ?? "";
  return {
    key: `fact ${name}`,
    title: name.replace(/^arguments\./, ""),
    text: value,
    sort: (run) =>
      value(run) === "" || Number.isNaN(Number(value(run))) ? value(run) : Number(value(run)),
  };
}

function compareValues(a, b) {
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1;
}

// The runs whose name, state and facts contain all words.
function filterRuns(runs, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return runs.filter((run) => {
    const facts = Object.entries(run.facts ?? {}).map(([name, value]) => `${name}=${value}`);
    const all = [titleOf(run), statusOf(run), ...facts].join("\n").toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

// `12 s ago`, `3 min ago`, `5 d ago`: one unit is enough to tell runs apart.
function formatAge(ms) {
  const units = [
    [86400e3, "d"],
    [3600e3, "h"],
    [60e3, "min"],
    [1e3, "s"],
  ];
  const [size, unit] = units.find(([one]) => ms >= one) ?? units.at(-1);
  return `${Math.max(0, Math.floor(ms / size))} ${unit} ago`;
}
