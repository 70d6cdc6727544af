// What the live page saves: its pictures, and its tables as CSV.

function addDownloads(app) {
  const name = (part) => () => `${app.meta.name}-${part}`;
  const csv = (what, part, text) =>
    saveButton(`${what} as CSV`, "csv", () =>
      saveFile(`${name(part)()}.csv`, new Blob([text()], { type: "text/csv" })),
    );
  byId("save-chart").append(
    pictureButtons("the loop", name("loop"), () => boardSvg(byId("board"), app.colours.card)),
  );
  byId("save-timeline").append(
    pictureButtons("the timeline", name("timeline"), () => app.lanes.svg(app.colours)),
  );
  byId("save-metrics").append(csv("the metrics", "metrics", () => metricsCsv(app.records)));
  byId("save-times").append(csv("these times", "times", () => timesCsv(app.totals.main)));
}
