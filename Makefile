# Needs Rust, Python 3.11 or newer and make; installs everything else under the folders that
# `make clean` removes. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

DRILL_SEEDS ?= 1
CARGO_DENY_VERSION := 0.20.2

STEP := tests/step
REQUIREMENTS := tests/requirements
CARGO_DENY := .work/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
TEMPLATES := template.yaml functions/health-check/witness.yaml $(wildcard data-plane/*.yaml)
# Blocks of data-plane/member.yaml are repeated for more members: as they are then, in here.
RENDERED := .work/templates
DATA_PLANES := data-plane/example.toml tests/e2e/data_plane/seventeen.toml
# The functions have to run on this machine, whatever users deploy: not in .aws-sam, which `sam deploy` takes.
SAM_BUILD_DIR := .work/sam-build
HOST := $(if $(filter x86_64,$(shell uname -m)),x86_64,arm64)
SAM := SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv-sam/bin:$$PATH"

# The same crates with the same features in every command: always the whole workspace
# (docs/development.md says why).
WORKSPACE := --locked --workspace

ifeq ($(shell command -v cargo-nextest),)
RUN_TESTS := cargo test $(WORKSPACE) --tests --no-fail-fast
else
RUN_TESTS := cargo nextest run $(WORKSPACE)
endif

.PHONY: help quick test drill lock clean
.PHONY: begin summary format clippy tests doctests docs features audit drills build e2e templates

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

quick: begin format clippy tests summary ## the inner loop: format, lints, tests

test: begin format features audit clippy docs tests doctests drills templates e2e summary ## every check, with all the set-up

drill: ## every scenario with each of DRILL_SEEDS (`cargo drill` runs one)
	@tests/run-drills --seeds $(DRILL_SEEDS)

lock: .venv/.ready ## newest versions of the Python tools into tests/requirements/*.txt
	@for set in e2e sam; do \
	    .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	        --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	        $(REQUIREMENTS)/$$set.in --output-file $(REQUIREMENTS)/$$set.txt; \
	done

clean: ## remove everything that was built or installed here
	cargo clean
	rm -rf .venv .venv-sam .work .pytest_cache .aws-sam

# --- steps -----------------------------------------------------------------------------------

begin:
	@$(STEP) --begin

summary:
	@$(STEP) --summary

format:
	@$(STEP) "format" cargo fmt --all --check

features:
	@$(STEP) "features: deployed, drill and workspace" tests/check-features

audit: $(CARGO_DENY) .venv/.ready
	@$(STEP) "dependency audit" tests/audit $(CARGO_DENY) .venv/bin/pip-audit $(wildcard $(REQUIREMENTS)/*.txt)

clippy:
	@$(STEP) "lints" cargo clippy $(WORKSPACE) --all-targets -- -D warnings

# For those who work here: private items too.
docs:
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(STEP) "documentation" cargo doc $(WORKSPACE) --no-deps --document-private-items

tests:
ifeq ($(findstring nextest,$(RUN_TESTS)),)
	@echo "cargo-nextest is not installed: cargo test runs the same tests, one binary after the other"
endif
	@$(STEP) "unit, property and integration tests" $(RUN_TESTS)

doctests:
	@$(STEP) "documentation tests" cargo test $(WORKSPACE) --doc

drills:
	@$(STEP) "drill: every scenario, seeds $(DRILL_SEEDS)" tests/run-drills --seeds $(DRILL_SEEDS)

e2e: .venv/.ready build ## MiniStack: the template and the scripts deployed, the docs' commands, the simulator compared
	@$(STEP) "the simulator and the example" cargo build $(WORKSPACE) --bin simulator --example use_mrap
	@SAM_BUILD_DIR=$(SAM_BUILD_DIR) $(STEP) "end-to-end tests" .venv/bin/python -m pytest tests/e2e

build: .venv-sam/.ready ## the functions as they are deployed
	@$(SAM) $(STEP) "release binaries" cargo lambda build --release --locked
	@$(SAM) $(STEP) "sam build" sam build --build-dir $(SAM_BUILD_DIR) --parameter-overrides Architecture=$(HOST)

templates: .venv/.ready .venv-sam/.ready
	@$(STEP) "templates: cfn-lint" .venv-sam/bin/cfn-lint $(TEMPLATES)
	@rm -rf $(RENDERED)
	@for plane in $(DATA_PLANES); do \
	    .venv/bin/python data-plane/deploy $$plane --write-templates $(RENDERED); \
	done
	@$(STEP) "templates: cfn-lint with 2 and with 17 members" .venv-sam/bin/cfn-lint $(RENDERED)/*.yaml
	@$(SAM) $(STEP) "templates: sam validate" sam validate --lint

# --- tools -----------------------------------------------------------------------------------

.venv/.ready: $(REQUIREMENTS)/e2e.txt tests/python-tools
	@$(STEP) "Python tools for the tests" tests/python-tools .venv $<

.venv-sam/.ready: $(REQUIREMENTS)/sam.txt tests/python-tools
	@$(STEP) "Python tools for template.yaml" tests/python-tools .venv-sam $<

# Unoptimised: it is built in a third of the time and runs for a second.
$(CARGO_DENY):
	@CARGO_PROFILE_DEV_DEBUG=0 $(STEP) "cargo-deny $(CARGO_DENY_VERSION)" \
	    env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --no-default-features \
	        --root .work/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny@$(CARGO_DENY_VERSION)
