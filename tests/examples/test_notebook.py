"""The notebook in a real kernel, interrupted as the button does it."""

import asyncio
import os
import signal
from pathlib import Path
from xml.etree import ElementTree

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
CHART, FIT, RESUMED = 3, 5, 7

# or a fit this short could be over before the kernel is interrupted
WAITS = """
import pathlib, time

@trainer.on("begin_epoch", when=lambda trainer, state: state.epoch == 1)
def wait(trainer, state):
    while not pathlib.Path("interrupted").exists():
        time.sleep(0.01)

"""


def printed(cell):
    return "".join(output["text"] for output in cell.outputs if output.output_type == "stream")


async def execute_and_interrupt(client, cell, index, folder):
    """Execute a cell, and interrupt the kernel when its first epoch has shown."""
    cell.source = WAITS + cell.source
    execution = asyncio.ensure_future(client.async_execute_cell(cell, index))
    while "epochs 1/" not in printed(cell) and not execution.done():
        await asyncio.sleep(0.01)
    await client.km.interrupt_kernel()
    (folder / "interrupted").touch()
    await execution


async def execute(folder, interrupt):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        startup_timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # more gain nothing for a model this small
    async with client.async_setup_kernel(env=environment):
        for index, cell in enumerate(notebook.cells):
            if interrupt and index == FIT:
                await execute_and_interrupt(client, cell, index, folder)
            else:
                await client.async_execute_cell(cell, index)
    return notebook.cells


@pytest.fixture(scope="module", params=[True, False], ids=["stopped", "left_alone"])
def stopped(request):
    return request.param


@pytest.fixture(scope="module")
def cells(stopped, tmp_path_factory):
    before = signal.getsignal(signal.SIGTERM)
    try:
        return asyncio.run(execute(tmp_path_factory.mktemp("notebook"), stopped))
    finally:
        signal.signal(signal.SIGTERM, before)  # nbclient leaves the system's: coverage has its own


def test_the_trainer_shows_its_chart_as_svg(cells):
    (output,) = cells[CHART].outputs
    svg = ElementTree.fromstring(output.data["image/svg+xml"])
    assert svg.tag.endswith("svg")
    phases = {group.get("data-phase") for group in svg.iter() if group.get("data-phase")}
    assert "fit.epoch.train.batch.forward" in phases


def test_the_fit_shows_its_progress_and_ends_as_it_should(cells, stopped):
    text = printed(cells[FIT])
    assert "epochs 1/60, train_loss=" in text
    assert "Warning" not in text
    ending = text.splitlines()[-1]
    if stopped:
        assert ending.startswith("cancelled in epoch ")
        shown = cells[FIT].outputs[-1].data["text/plain"]
        assert shown.endswith("CancelFitException('received SIGINT')")
    else:
        assert ending == "completed in epoch 60 after 1380 steps"


def test_it_goes_on_where_it_was_stopped(cells, stopped):
    text = printed(cells[RESUMED])
    assert text.splitlines()[-1] == "completed in epoch 60 after 1380 steps"
    assert ("epochs 60/60" in text) == stopped
    assert "epochs 1/60" not in text


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)
