"""The five loggers behind one face: made in a folder, and what they wrote read back from there."""

import csv
import json
import struct
from typing import NamedTuple

from trackside.handlers.logging.csv_logger import CSVLogger
from trackside.handlers.logging.json_lines import JSONLines
from trackside.handlers.logging.mlflow import MLflow
from trackside.handlers.logging.tensorboard import TensorBoard
from trackside.handlers.logging.wandb import WandB

COUNTERS = ("fit", "epoch", "step", "samples", "lr")
OUTCOMES = {1.0: "completed", 0.0: "not completed"}


class Run(NamedTuple):
    """What came of one fit; `end` is None where nothing says how it ended."""

    epochs: list
    losses: list
    end: str | None


def csv_rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def json_rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def runs_of_rows(rows):
    """Rows by their fit; they are numbers again, and an empty cell is not there."""
    runs = {}
    for row in rows:
        full = {name: number(cell) for name, cell in row.items() if cell not in ("", None)}
        run = runs.setdefault(full.pop("fit"), Run([], [], None))
        if "outcome" in full:
            run.epochs.append(full)
        else:
            run.losses.append((full["step"], full["loss"]))
    return [runs[fit] for fit in sorted(runs)]


def number(cell):
    try:
        return float(cell)
    except ValueError:
        return cell


def scalars(folder):
    """(step, value) by tag of the event files in `folder`, and (step, text) as the tag outcome."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    found = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    if "outcome/text_summary" in events.Tags()["tensors"]:
        found["outcome"] = _texts(events, "outcome")
    return found


def facts_text(folder):
    """The text with the facts in the event files in `folder`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    [(_, text)] = _texts(events, "facts")
    return text


def _texts(events, tag):
    return [
        (event.step, event.tensor_proto.string_val[0].decode())
        for event in events.Tensors(f"{tag}/text_summary")
    ]


def tensorboard_runs(directory):
    folders = sorted(directory.glob("fit_*"), key=lambda path: int(path.name[4:]))
    return [run_of_series(scalars(folder), end=None) for folder in folders]


def mlflow_series(client, run):
    """(step, value) by key, in the order in which they were logged."""
    found = {}
    for key in run.data.metrics:
        points = client.get_metric_history(run.info.run_id, key)
        points.sort(key=lambda point: (point.timestamp, point.step))
        found[key] = [(point.step, point.value) for point in points]
    return found


def mlflow_runs(uri, experiment):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    runs.sort(key=lambda run: int(run.data.tags["fit"]))
    made = []
    for run in runs:
        series = mlflow_series(client, run)
        outcomes = series.pop("epoch_completed", [])
        series["outcome"] = [(step, OUTCOMES[value]) for step, value in outcomes]
        made.append(run_of_series(series, end=run.info.status))
    return made


def run_of_series(series, end):
    """A run of the series of a tracker; those with a point for each epoch are put into rows."""
    outcomes = series.get("outcome", [])
    losses = series.pop("loss", [])
    whole = {name: points for name, points in series.items() if len(points) == len(outcomes)}
    epochs = [
        {"step": step, **{name: points[place][1] for name, points in whole.items()}}
        for place, (step, _) in enumerate(outcomes)
    ]
    return Run(epochs, losses, end)


def wandb_records(path):
    """The records of a .wandb file: LevelDB's log format behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, block, parts = path.read_bytes(), 7, 32768, []
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def wandb_items(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


class WandBFile(NamedTuple):
    history: list
    summary: dict
    config: dict
    exit_code: int | None


def wandb_file(path):
    history, summary, config, exit_code = [], {}, {}, None
    for record in wandb_records(path):
        match record.WhichOneof("record_type"):
            case "history":
                history.append(wandb_items(record.history.item))
            case "summary":
                summary.update(wandb_items(record.summary.update))
            case "run":
                config.update(wandb_items(record.run.config.update))
            case "config":
                config.update(wandb_items(record.config.update))
            case "exit":
                exit_code = record.exit.exit_code
    return WandBFile(history, summary, config, exit_code)


def wandb_files(folder):
    import wandb

    wandb.teardown()  # ends wandb's own process, which writes the files when it likes
    files = [wandb_file(path) for path in folder.glob("wandb/offline-run-*/*.wandb")]
    return sorted(files, key=lambda file: file.config["fit"])


def wandb_runs(folder):
    made = []
    for file in wandb_files(folder):
        rows = [{k: v for k, v in row.items() if not k.startswith("_")} for row in file.history]
        epochs = [row for row in rows if "outcome" in row]
        losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
        made.append(Run(epochs, losses, (file.summary["fit_outcome"], file.exit_code)))
    return made


class Kind(NamedTuple):
    """How a logger is made in a folder, and how what it wrote is read from there."""

    name: str
    make: object
    read: object
    ends: dict
    """What a run says of its end, by the outcome of the fit."""

    def outcomes(self, folder):
        """What is known of the outcome of each epoch, run by run."""
        return [[row["outcome"] for row in run.epochs] for run in self.read(folder)]

    def told(self, *outcomes):
        """`outcomes` in the words in which this kind of logger tells them."""
        if self.name != "MLflow":
            return list(outcomes)
        return [OUTCOMES[float(outcome == "completed")] for outcome in outcomes]


def kinds(mlflow_uri):
    """All five, by name."""
    nothing = dict.fromkeys(("completed", "cancelled", "failed"))
    return {
        kind.name: kind
        for kind in (
            Kind(
                "CSVLogger",
                lambda folder, **options: CSVLogger(folder / "log.csv", **options),
                lambda folder: runs_of_rows(
                    csv_rows(folder / "log.csv") if (folder / "log.csv").exists() else []
                ),
                nothing,
            ),
            Kind(
                "JSONLines",
                lambda folder, **options: JSONLines(folder / "log.jsonl", **options),
                lambda folder: runs_of_rows(
                    json_rows(folder / "log.jsonl") if (folder / "log.jsonl").exists() else []
                ),
                nothing,
            ),
            Kind(
                "TensorBoard",
                lambda folder, **options: TensorBoard(folder / "runs", **options),
                lambda folder: tensorboard_runs(folder / "runs"),
                nothing,
            ),
            Kind(
                "MLflow",
                lambda folder, **options: MLflow(folder.name, mlflow_uri, **options),
                lambda folder: mlflow_runs(mlflow_uri, folder.name),
                {"completed": "FINISHED", "cancelled": "KILLED", "failed": "FAILED"},
            ),
            Kind(
                "WandB",
                lambda folder, **options: WandB(dir=str(folder), **options),
                wandb_runs,
                {
                    "completed": ("completed", 0),
                    "cancelled": ("cancelled", 0),
                    "failed": ("failed", 1),
                },
            ),
        )
    }
