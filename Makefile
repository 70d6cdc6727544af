# On a machine with Python 3.11 or newer and make, `make demo` or `make test` is all that is needed.
# Stamps in .venv say what is installed: a second run installs nothing, and neither does an edited
# or a new source, since the install is editable.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := engine events handlers views
TYPED := $(PACKAGES:%=build/typed/trackside/%) build/typed/trackside/__init__.py build/typed/trackside/__main__.py
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

# what finds nine of ten faults in under a minute: the bus, the chart, the loop, the trainer
QUICK := tests/test_architecture.py tests/events tests/engine/test_trainer.py tests/engine/test_bad_input.py \
	tests/engine/statechart tests/engine/loop tests/engine/closing tests/handlers/test_composition.py

.NOTPARALLEL:
.PHONY: help demo check test test-oldest test-newest test-pythons soak coverage mutation attack-page bench \
	results guard readme picture docs links newcomer release clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

demo: $(VENV)/demo.stamp ## train a small net on scikit-learn's digits; writes runs/demo, with a report
	$(BIN)/trackside demo

# the tests start hundreds of processes: what is compiled is kept, whatever the environment says
check test test-oldest test-newest soak coverage: export PYTHONDONTWRITEBYTECODE :=
# two processes side by side, and models that gain nothing by more threads
check: export OMP_NUM_THREADS := 1
check: $(VENV)/dev.stamp $(TYPED) ## a minute: style, types, and the tests that find most faults
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n 2 --dist loadfile $(QUICK)

test: export OMP_NUM_THREADS := 1
test: $(VENV)/dev.stamp $(TYPED) ## everything that CI runs: style, types, tests, the README's code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/pytest -q -n 2 --dist loadfile

# these three install what the constraints forbid, into environments of their own; a torch for each
test-oldest: export OMP_NUM_THREADS := 1
test-oldest: ## the tests with the lowest versions that pyproject.toml allows; TESTS="tests/events" only some
	$(PYTHON) -m venv --clear .venv-oldest
	mkdir -p build && $(PYTHON) tools/lower_bounds.py > build/oldest.txt
	.venv-oldest/bin/python -m pip install -q -c build/oldest.txt -e '.[dev]'
	.venv-oldest/bin/python -m pytest -q -W default -n 2 --dist loadfile $(TESTS)

test-newest: export OMP_NUM_THREADS := 1
test-newest: ## the tests with the newest versions of all, torch too; TESTS="tests/events" only some
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install -q --upgrade -e '.[dev]'
	.venv-newest/bin/python -m pytest -q -n 2 --dist loadfile $(TESTS)

test-pythons: ## install and use the wheel, and run the tests of `make check`, with each python3.N on PATH
	$(PYTHON) tools/pythons.py $(QUICK)

soak: export OMP_NUM_THREADS := 1
soak: $(VENV)/dev.stamp ## some hours: every cell of the matrices; many more random times, kills, repetitions
	$(BIN)/pytest -q -m matrix --whole-matrix -n 2
	$(BIN)/pytest -q -m long
	$(BIN)/python tools/mutation.py

# it prints what is uncovered where tests fail, too: they ran for minutes
coverage: export OMP_NUM_THREADS := 1
coverage: export COVERED_ROOT := $(CURDIR)
coverage: $(VENV)/dev.stamp $(TYPED) ## some 20 minutes: the tests' coverage of lines and branches, and what is uncovered
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -q -n 2 --dist loadfile; tests=$$?; \
	  $(BIN)/python tools/uncovered.py && exit $$tests

mutation: export OMP_NUM_THREADS := 1
mutation: $(VENV)/dev.stamp ## some hours: do the tests fail for mutants of events/ and engine/? ARGS="events/bus --minutes 30"
	$(BIN)/python tools/mutation.py $(ARGS)

attack-page: export OMP_NUM_THREADS := 1
attack-page: $(VENV)/dev.stamp ## some minutes: thousands of hostile clients of the live page and of both services
	$(BIN)/pytest -q -m long tests/views/page/test_attacked_page.py tests/examples/test_services.py

PARTS := overhead anatomy imports loading charts fused scaling recorder page checkpoint peers epoch distributed sharded_memory weight
bench: $(VENV)/dev.stamp ## what all of it costs, beside other libraries too; long, on a quiet machine; PARTS="scaling" only some
	set -e; for part in $(PARTS); do $(BIN)/python benchmarks/$$part.py; done

results: $(VENV)/dev.stamp ## make the tables and charts of what was measured anew
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/curves.py
	$(BIN)/python benchmarks/epoch_chart.py
	$(BIN)/python benchmarks/costs.py

guard: $(VENV)/dev.stamp ## record anew what a training batch takes, counted without a clock; the tests hold it
	$(BIN)/python benchmarks/guard.py --record

readme: $(VENV)/dev.stamp ## make the pictures and the generated tables of README and docs anew
	$(BIN)/python -m trackside.views.handler_docs.handler_table docs/reference/handlers.md
	$(BIN)/python docs/tables.py
	$(BIN)/trackside draw examples/digits.py:digits -o docs/loop.svg
	$(BIN)/trackside draw examples/digits.py:digits --narrow -o docs/loop-narrow.svg
	for picture in docs/charts/*-narrow.svg; do name=$$(basename $$picture -narrow.svg); \
	  $(BIN)/trackside draw examples/$$name.py:job -o docs/charts/$$name.svg; \
	  $(BIN)/trackside draw examples/$$name.py:job --narrow -o $$picture; done

picture: $(VENV)/dev.stamp ## take the picture of the live page anew, docs/watch.png, with chromium; it differs each time
	$(BIN)/python docs/page_picture.py

docs: $(VENV)/dev.stamp readme ## build the site of the documentation in docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

links: $(VENV)/dev.stamp readme ## ask whether what the site links to is there; needs the network
	$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/links

newcomer: $(VENV)/dev.stamp ## time what a newcomer does in the first ten minutes, in a new environment
	$(BIN)/python tests/first_ten_minutes.py

release: $(VENV)/dev.stamp ## all of a release but the upload: make release VERSION=0.2.0; see RELEASING.md
	$(INSTALL) -e '.[release]'
	$(BIN)/python tools/release.py $(VERSION)

clean: ## remove the environment, the caches and what was built; keeps runs/
	rm -rf $(VENV) $(VENV)-* build dist docs/_build docs/reference/handlers *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/demo.stamp: $(VENV)/made.stamp pyproject.toml constraints.txt
	$(INSTALL) -e '.[demo,watch]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/made.stamp pyproject.toml constraints.txt
	$(INSTALL) -e '.[dev]'
	@touch $(VENV)/demo.stamp $@

$(VENV)/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "trackside needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1 || true);" \
	    "name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@touch $@

# mypy does not look through the hook of an editable install; this tree has the installed layout
$(PACKAGES:%=build/typed/trackside/%): build/typed/trackside/%:
	@mkdir -p $(@D)
	@ln -sfn ../../../$* $@

build/typed/trackside/%.py:
	@mkdir -p $(@D)
	@ln -sfn ../../../trackside/$*.py $@
