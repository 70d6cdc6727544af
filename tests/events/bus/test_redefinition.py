"""A cell of a notebook that runs again."""

import pytest
from helpers import batches, trainer_of


class Notebook:
    """Runs the source of cells as a notebook does: in one namespace without a file."""

    def __init__(self, **names):
        self.names = {"__name__": "__main__", "trainer": trainer_of(), "seen": [], **names}

    def run(self, cell):
        exec(compile(cell, "<cell>", "exec"), self.names)

    @property
    def seen(self):
        self.names["trainer"].fit(batches(1))
        return self.names["seen"]


NAMED = """
@trainer.on("after_loss")
def look(trainer, state):
    seen.append(1)
"""


def test_a_cell_that_runs_twice_subscribes_once():
    notebook = Notebook()
    notebook.run(NAMED)
    notebook.run(NAMED)
    assert notebook.seen == [1]
    assert len(notebook.names["trainer"].handlers) == 1


def test_the_function_of_an_edited_cell_takes_the_place_of_the_old_one():
    notebook = Notebook()
    notebook.run(NAMED)
    notebook.run(
        NAMED.replace("1", "2").replace('"after_loss"', '"after_loss", every=1, once=True')
    )
    assert notebook.seen == [2]


def test_a_function_of_several_signals_is_replaced_at_each():
    notebook = Notebook()
    cell = NAMED.replace("\n@", '\n@trainer.on("after_pred")\n@', 1)
    notebook.run(cell)
    notebook.run(cell)
    assert notebook.seen == [1, 1]


def test_a_scope_function_is_replaced():
    cell = """
@trainer.within("batch")
def around(trainer, state):
    seen.append(1)
    yield
"""
    notebook = Notebook()
    notebook.run(cell)
    notebook.run(cell)
    assert notebook.seen == [1]


@pytest.mark.parametrize(
    "cell",
    [
        'trainer.on("after_loss")(lambda trainer, state: seen.append(1))',
        NAMED.replace("look", "_"),
    ],
)
def test_a_function_without_a_name_is_replaced_by_the_same_code_only(cell):
    notebook = Notebook()
    notebook.run(cell)
    notebook.run(cell)
    notebook.run(cell.replace("1", "2"))
    assert notebook.seen == [1, 2]


def test_functions_that_one_run_of_a_loop_makes_are_all_subscribed():
    notebook = Notebook()
    notebook.run(
        """
for n in range(3):
    @trainer.on("after_loss")
    def look(trainer, state, n=n):
        seen.append(n)
"""
    )
    assert notebook.seen == [0, 1, 2]


def test_the_same_name_at_another_signal_is_another_function():
    notebook = Notebook()
    notebook.run(NAMED)
    notebook.run(NAMED.replace("after_loss", "after_pred"))
    assert notebook.seen == [1, 1]


@pytest.mark.parametrize("names", [{"__name__": "a_module"}, {"__file__": "script.py"}])
def test_in_a_file_each_function_is_subscribed(names):
    notebook = Notebook(**names)
    notebook.run(NAMED)
    notebook.run(NAMED)
    assert notebook.seen == [1, 1]


def test_functions_inside_other_functions_are_several():
    notebook = Notebook()
    cell = "def make():\n" + NAMED.replace("\n", "\n    ") + "\nmake()"
    notebook.run(cell)
    notebook.run(cell)
    assert notebook.seen == [1, 1]


def test_a_function_of_a_file_is_not_the_same_one_as_that_of_a_cell():
    notebook, file = Notebook(), {"__name__": "__main__", "__file__": "fit.py"}
    notebook.run(NAMED)
    of_file = {**notebook.names, **file}
    exec(compile(NAMED, "fit.py", "exec"), of_file)
    assert notebook.seen == [1, 1]
    notebook.run(NAMED)
    assert notebook.seen == [1, 1, 1, 1]
