// The numbers of the run that is shown, as CSV.

const FORMULA = /^[=+\-@\t\r]/;

// Text that a spreadsheet would run as a formula gets an apostrophe before it.
function csvCell(value) {
  if (typeof value === "number") return Number.isNaN(value) ? "nan" : String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csvText(rows) {
  return rows.map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");
}

function metricsCsv({ table, events }) {
  const rows = [["metric", "seconds", "epoch", "step", "value"]];
  table.scalars.forEach(({ name }, id) => {
    const series = events.scalars[id];
    for (let i = 0; i < (series?.length ?? 0); i++)
      rows.push([
        name,
        series.times[i] / SECOND,
        series.epochs[i],
        series.steps[i],
        series.values[i],
      ]);
  });
  return csvText(rows);
}

// Phases and handlers, of the part of the run that is shown.
function timesCsv(totals) {
  const { entries, table } = totals;
  const rows = [["what", "name", "signal", "module", "count", "seconds"]];
  table.leaves.forEach(({ path }, i) => {
    if (entries[i]) rows.push(["phase", path, "", "", entries[i], totals.leaves[i] / SECOND]);
  });
  for (const { name, signal, module, calls, time } of receiverCosts(totals))
    rows.push(["handler", name, signal, module, calls, time / SECOND]);
  return csvText(rows);
}
