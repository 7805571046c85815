# `make demo` and `make test` are all a newcomer needs; each sets up .venv first.
# `make presubmit` is exactly what .ci/run runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

# Tests of real processes: those that failed run once more, alone and in the open, which tells a
# fault from a busy machine. What fails twice fails; `make` says each time that something did once.
define real
$(BIN)/python -m pytest -q -m "$(1)" || { \
  echo "FAILED ONCE, see above: those again, to tell a fault from a busy machine" >&2; \
  $(BIN)/python -m pytest -q -m "$(1)" --last-failed --last-failed-no-failures=none; }
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-envoy controlplane test-controlplane e2e-gateway test-e2e lint fmt type imports bench bench-adapter presubmit lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"Loadstar needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

setup: $(STAMP) ## create .venv with everything pinned in requirements.lock

demo: $(STAMP) ## gateway against round robin, then a day in 4 minutes: autoscaler against HPA
	$(BIN)/python -m load_tests demo

test: test-fast test-envoy test-controlplane ## all tests

test-fast: $(STAMP) ## tests that need no other process, under two minutes
	$(BIN)/python -m pytest -q -n 2 -m "not envoy and not slow and not controlplane and not e2e"

test-envoy: $(STAMP) ## tests against a real Envoy, and the slow ones
	$(call real,(envoy or slow) and not controlplane and not e2e)

controlplane: $(STAMP) ## build etcd, kube-apiserver and controllers into the cache, once, 5 minutes
	$(BIN)/python -m tests.controlplane.build

test-controlplane: $(STAMP) ## tests against a real Kubernetes control plane; builds it if need be
	$(call real,controlplane and not e2e)

e2e-gateway: $(STAMP) ## Istio drives a real Envoy that asks our picker; builds Istio once, 10 minutes
	$(BIN)/python -m tests.controlplane.build kubernetes istio
	$(BIN)/python -m tests.e2e.network $(BIN)/python -m pytest -q -m e2e tests/e2e

test-e2e: $(STAMP)
	@if command -v ip >/dev/null && { unshare --net ip link set lo up 2>/dev/null || unshare --net --map-root-user ip link set lo up 2>/dev/null; }; then \
	  $(MAKE) --no-print-directory e2e-gateway || { \
	    echo "e2e-gateway failed; once more, to tell a fault from a busy machine" >&2; \
	    $(MAKE) --no-print-directory e2e-gateway; }; \
	else \
	  echo "SKIPPED: make e2e-gateway: this machine lets us make no network namespace" >&2; \
	fi

lint: $(STAMP) ## ruff: style, and format as committed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fmt: $(STAMP) ## mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(STAMP) ## mypy, strict, tests too
	$(BIN)/mypy

imports: $(STAMP) ## the dependency rules of ARCHITECTURE.md
	$(BIN)/lint-imports

bench: $(STAMP) ## the benchmarks that argue for the design; prints tables
	$(BIN)/python -m load_tests bench

bench-adapter: $(STAMP) ## what the metrics adapter costs, through a real API server
	$(BIN)/python -m load_tests.adapter

presubmit: lint type imports test test-e2e ## exactly what .ci/run runs

lock: $(STAMP) ## pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --extra dev --quiet pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet -c requirements.lock pyproject.toml -o manifests/image/requirements.lock
	echo setuptools | $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet -c requirements.lock - -o manifests/image/build.lock

clean: ## remove what was made here
	rm -rf $(VENV) build dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
