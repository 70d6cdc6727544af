"""What tests of handlers share: trackers without a network, and where fits write."""

import warnings

import pytest

OFFLINE = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_INIT_TIMEOUT": "300",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_X_SERVICE_WAIT": "300",
}


@pytest.fixture(scope="session")
def offline(tmp_path_factory):
    """The environment in which no tracker reaches for the network, or for the user's folders."""
    own = {f"WANDB_{name}_DIR": "wandb" for name in ("CACHE", "CONFIG", "DATA")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in OFFLINE.items():
            patch.setenv(name, value)
        for name, folder in own.items():
            patch.setenv(name, str(tmp_path_factory.mktemp(folder)))
        yield


@pytest.fixture(scope="session")
def mlflow_uri(offline, tmp_path_factory):
    """A tracking store in a database; making one takes seconds, so that it is made once."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    with warnings.catch_warnings(action="ignore"):  # MLflow's own, of its database library
        MlflowClient(uri)
    return uri


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where the fits of resumable.py write."""
    monkeypatch.setenv("RESUMABLE_FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def prepared(request, monkeypatch, folder):
    """A name of MAKERS in resumable.py, and what its handler needs."""
    name = request.param
    if name == "MLflow":
        monkeypatch.setenv("RESUMABLE_MLFLOW", request.getfixturevalue("mlflow_uri"))
    if name == "WandB":
        request.getfixturevalue("offline")
    return name


@pytest.fixture(params=["CSVLogger", "JSONLines", "TensorBoard", "MLflow", "WandB"])
def kind(request, monkeypatch, tmp_path):
    """Each of the five loggers."""
    return _kind(request, monkeypatch, tmp_path)


@pytest.fixture(params=["CSVLogger", "JSONLines", "TensorBoard"])
def kind_of_files(request, monkeypatch, tmp_path):
    """The loggers that need nothing but the file system, and little time."""
    return _kind(request, monkeypatch, tmp_path)


def _kind(request, monkeypatch, tmp_path):
    from loggers import kinds

    monkeypatch.chdir(tmp_path)
    tracked = request.param in ("MLflow", "WandB")
    uri = request.getfixturevalue("mlflow_uri") if request.param == "MLflow" else None
    if tracked:
        request.getfixturevalue("offline")
    return kinds(uri)[request.param]
