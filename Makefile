# Two commands suffice on a fresh machine: `make demo` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROJECTS := pyproject.toml plugins/sdk/pyproject.toml plugins/random/pyproject.toml plugins/ncevolve/pyproject.toml \
	plugins/hyperband/pyproject.toml plugins/optuna/pyproject.toml
# Of Debian's package dataset-fashion-mnist.
FASHION := /usr/share/datasets/fashion-mnist
EXAMPLES := $(if $(shell command -v go),go-hillclimb go-evolve) $(if $(shell command -v npm),ts-random) $(if $(shell command -v cargo),rust-random)
NODE_STAMP := tests/node/node_modules/.package-lock.json

.PHONY: setup demo test check clients examples proto bench clean

setup: $(STAMP)

$(STAMP): $(PROJECTS)
	python3 -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed"'
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -e plugins/sdk -e plugins/random -e plugins/ncevolve \
		-e plugins/hyperband -e plugins/optuna -e ".[all]" --group dev
	touch $@

demo: $(STAMP)
	$(BIN)/neunets synthesize digits --budget 60s --home $(VENV)/demo --out demo

# Node is used where it is installed: the test that needs it says so when it is not.
test: $(STAMP) $(if $(shell command -v npm),$(NODE_STAMP))
	$(BIN)/pytest -q -m "not slow"

$(NODE_STAMP): tests/node/package-lock.json
	cd tests/node && ONNXRUNTIME_NODE_INSTALL=skip npm ci --silent --no-audit --no-fund

check: $(STAMP)
	$(BIN)/python protos/generate.py --check
	$(BIN)/python protos/breaking.py
	$(BIN)/python docs/generate.py --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH= $(BIN)/lint-imports

# Every language whose tools are installed; the others are named.
clients: $(STAMP)
	$(BIN)/python clients/check.py

# Synthesizers in other languages.
examples:
	for name in $(EXAMPLES); do $(MAKE) --no-print-directory -C plugins/examples/$$name build test || exit 1; done

proto: $(STAMP)
	$(BIN)/python protos/generate.py

bench: $(STAMP)
	$(BIN)/python benchmarks/accuracy.py fashion-mnist $(FASHION)
	$(BIN)/python benchmarks/trainer.py
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/variants.py digits=digits fashion-mnist=$(FASHION)
	$(BIN)/python benchmarks/crashes.py
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python benchmarks/orchestration.py

clean:
	rm -rf $(VENV) demo tests/node/node_modules
