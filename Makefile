# The pipeline's verbs, with the words of `dagger call` and of mck. Each target
# shows the command that it runs, so that it can be typed instead. Settings are
# variables of make (make build BUILD_NUM=42) or of the environment; ARGS is
# added to the command as it is.
#
# Values reach a command through its environment, and secrets by reference
# (env://NAME): no secret is ever part of a command line.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help engine check lock composer precompile build pin get-ecr push inspect audit cleanup \
	doctor deploy install report rollback status logs continue wait scale verify diff history rehearse generate demo test lint packages e2e

ENGINE ?= dagger
DAGGER ?= dagger
GO ?= go
OUT ?= out
# Bases of a registry on this machine: the engine's containers are given it, since they cannot reach it.
base-at := $(firstword $(filter 127.% localhost:%,$(subst /, ,$(value PHP_IMAGE)) $(subst /, ,$(value NGINX_IMAGE))))
ifneq ($(base-at),)
BASE_REGISTRY ?= tcp://$(base-at)
export BASE_REGISTRY
endif
# The store's commit. Equal commits give equal images, bit for bit.
in-store := git -C "$(or $(value SOURCE),.)"
REVISION ?= $(shell $(in-store) rev-parse HEAD 2>/dev/null)
REVISION_TIME ?= $(shell $(in-store) log -1 --format=%ct "$(REVISION)" -- 2>/dev/null)
CONTENT_VERSION ?= $(REVISION_TIME)
REPOSITORY ?= $(shell $(in-store) remote get-url origin 2>/dev/null | sed 's,//[^/@]*@,//,')
export OUT REVISION REVISION_TIME CONTENT_VERSION REPOSITORY
include ci/verbs.mk

staticcheck := honnef.co/go/tools/cmd/staticcheck@v0.8.2
golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
deadcode := golang.org/x/tools/cmd/deadcode@v0.52.0
# $(call linter,PACKAGE,NAME,COMMAND): runs it where it can be had, for the module and for that of the engine tests.
linter = @linter=$$(mktemp -d) && trap 'rm -rf "$$linter"' EXIT && if GOBIN="$$linter" GOFLAGS=-mod=mod $(GO) install $(1) 2>"$$linter/why"; then \
	PATH="$$linter:$$PATH" && echo '$(3)' && $(3) && { ! test -e test/go.mod || (cd test && $(3)); }; \
	else echo "$(2): not run: $(1) cannot be installed: $$(tail -n 1 "$$linter/why")"; fi
dagger-version = $(shell sed -n 's/.*"engineVersion": *"\(v[^"]*\)".*/\1/p' dagger.json)

# The first of some variables that has a value.
first = $(firstword $(foreach v,$(1),$(if $(strip $(value $(v))),$(v))))
# $(call flag,--service,MCK_SERVICES ECS_SERVICES): the flag, if one of the variables has a value.
flag = $(if $(call first,$(2)),$(1)="$$$(call first,$(2))")
# $(call secret,--composer-auth,COMPOSER_AUTH): the same with a reference, which dagger resolves.
secret = $(if $(call first,$(2)),$(1)=env://$(call first,$(2)))
# Shows a command, unless make is called with -s, and becomes it.
silent := $(findstring s,$(firstword -$(MAKEFLAGS)))
run = @set -- $(1) $(ARGS); $(if $(silent),,printf '+ %s\n' "$$*" >&2;) exec "$$@"

# What builds are numbered by, where nothing says so.
unnumbered = $(if $(call first,BUILD_NUM CIRCLE_BUILD_NUM),,--build-num=latest)
ifeq ($(ENGINE),host)

mck := $(OUT)/bin/mck
# $(call verb,VERB,FURTHER WORDS): mck reads variables by itself, but for those that only make has.
verb = $(call run,$(mck) $(1) $(host-$(1)) $(2))
rehearse-only = --all

# Go knows whether there is anything to compile. (`go run` would end with 1 whatever mck ended with.)
engine:
	@$(GO) build -o $(mck) ./ci/cmd/mck

else

# $(call verb,VERB,FURTHER WORDS)
verb = $(call run,$(DAGGER) call $(if $(silent),-s) $(constructor-$(1)) $(1) $(dagger-$(1)) $(2))
of-store = $(credentials) $(store-settings)
of-aws = $(aws-settings) $(endpoint)
constructor-lock = $(of-store)
# An AWS on this machine, such as that of mck simulate, is a service that containers are given.
endpoint-at = $(patsubst %/,%,$(patsubst http://%,%,$(patsubst https://%,%,$(value AWS_ENDPOINT_URL))))
endpoint = $(if $(filter http://%,$(value AWS_ENDPOINT_URL)),,$(call flag,--aws-ca-bundle,AWS_CA_BUNDLE)) $(if $(filter 127.% localhost:%,$(endpoint-at)),--aws-endpoint=tcp://$(endpoint-at),$(call flag,--aws-endpoint-url,AWS_ENDPOINT_URL))
auth-file := $(wildcard $(or $(value SOURCE),magento)/auth.json)
credentials = $(if $(value COMPOSER_AUTH),--composer-auth=env://COMPOSER_AUTH,$(if $(auth-file),--composer-auth=file://$(auth-file))) \
	$(call secret,--magento-public-key,MAGENTO_PUBLIC_KEY) $(call secret,--magento-private-key,MAGENTO_PRIVATE_KEY) \
	$(call flag,--registry-config,REGISTRY_CONFIG)
export-store = export --path="$$OUT/store" --wipe
provenance = $(call flag,--revision-time,REVISION_TIME) $(call flag,--repository,REPOSITORY)
build-only = $(provenance) summary
inspect-only = $(if $(call first,BUILD_NUM),,--build-num=latest) $(provenance)

engine:
	@command -v $(DAGGER) >/dev/null 2>&1 || { \
	echo "There is no dagger on the PATH. To get it: curl -fsSL https://dl.dagger.io/dagger/install.sh | DAGGER_VERSION=$(dagger-version) BIN_DIR=\$$HOME/.local/bin sh"; \
	echo "To do without it, on this machine with its own php and composer: ENGINE=host make $(MAKECMDGOALS)"; \
	exit 1; } >&2

endif

help: ## Show this list
	@echo "make TARGET [VARIABLE=value …]; with ENGINE=host on this machine, without Dagger"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

check: engine ## Say all that can be said about the store before building it
	$(call verb,check)

lock: engine ## Add the composer.lock and the module list that the store lacks
ifeq ($(ENGINE),host)
	@echo "This needs dagger: make lock. For composer.lock alone: composer update --no-install --working-dir=$(or $(SOURCE),magento)" >&2; exit 1
else
	$(call verb,lock,export --path="$${SOURCE:-magento}")
endif

composer: engine ## Install the store's packages, in out/store
	$(call verb,composer,$(export-store))

precompile: engine ## Install and compile the store, with its static content, in out/store
	$(call verb,precompile,$(export-store))

build: engine ## Build the store's two images: make build BUILD_NUM=42
	$(call verb,build,$(unnumbered) $(build-only))

pin: ## Renew the digests of the bases, in ci/build/bases.json
	$(call run,$(GO) run ./ci/cmd/mck pin $(host-pin))

get-ecr: engine ## Print the registry's address: make push AWS_ECR_URL=$(make -s get-ecr)
	$(call verb,get-ecr)

push: engine ## Push the images: make push BUILD_NUM=42 AWS_ECR_URL=…
	$(call verb,push,$(unnumbered) $(provenance))

inspect: engine ## Show what is in the images, and what differs: make inspect AGAINST=299
	$(call verb,inspect,$(inspect-only))

audit: engine ## List known vulnerabilities of the images' packages
	$(call verb,audit,$(inspect-only))

cleanup: engine ## Show which old images nothing needs; ARGS=--yes deletes them
	$(call verb,cleanup)

doctor: engine ## Look for mistakes in the set-up: make doctor MCK_CLUSTER=… MCK_SERVICES=…
	$(call verb,doctor)

verify: engine ## Check whether a build could be released: make verify BUILD_NUM=42
	$(call verb,verify)

diff: engine ## Show what a release would change: make diff BUILD_NUM=42
	$(call verb,diff)

deploy: engine ## Release a build to Amazon ECS: make deploy BUILD_NUM=42
	$(call verb,deploy)

report: engine ## Fetch the page about the last release, as OUT/release.html
ifeq ($(ENGINE),host)
	@echo "mck writes it with the release: make deploy ARGS=--report=release.html" >&2; exit 1
else
	$(call run,$(DAGGER) call $(if $(silent),-s) report $(call flag,--cluster,MCK_CLUSTER ECS_CLUSTER) export --path="$$OUT/release.html")
endif

install: engine ## Install the store into an empty database: the first step of a new environment
	$(call verb,install)

rollback: engine ## Return to the build that ran before: make rollback [TO=41]
	$(call verb,rollback)

status: engine ## Show which build runs where
	$(call verb,status)

logs: engine ## Show the logs of the services' containers
	$(call verb,logs)

continue: engine ## Go on with a release that stands at a pause: after make deploy MCK_WAIT_UNTIL=POST_TEST_TRAFFIC_SHIFT
	$(call verb,continue)

wait: engine ## Wait until no deployment is in progress and all tasks run
	$(call verb,wait)

scale: engine ## Change how many tasks the services run: make scale MCK_DESIRED_COUNT=4
	$(call verb,scale)

history: engine ## Show what was released, by whom, when, and how it went
	$(call verb,history)

generate: ## Write what is generated: from ci/verbs, and the module's code by the engine
	$(GO) generate .
	$(DAGGER) develop
	$(GO) mod edit $$(sed -n 's/^replace \([^ ]*\) .*/-dropreplace=\1/p' go.mod)
	$(GO) mod tidy

rehearse: engine ## Release against a simulated AWS, every failure included
	$(call verb,rehearse,$(rehearse-only))

demo: ## Show the whole pipeline on this machine, with a sample store and a simulated AWS
	@.ci/packages demo
	@echo 'compiling mck: up to four minutes the first time, seconds later; nothing is shown meanwhile' >&2
	@$(GO) run ./ci/cmd/mck demo

test: packages lint ## Test everything that needs no container engine; installs what is missing
	CGO_ENABLED=1 $(GO) test -race -timeout=20m ./...

lint: ## Format, vet, staticcheck, golangci-lint and deadcode
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && test -z "$$files" || { echo "not formatted: "$$files; exit 1; }
	$(GO) vet ./...
	@! test -e test/go.mod || (cd test && set -x && $(GO) vet ./...)
	$(call linter,$(staticcheck),staticcheck,staticcheck ./...)
	$(call linter,$(golangci-lint),golangci-lint,golangci-lint run --max-issues-per-linter=0 --max-same-issues=0 ./...)
	$(call linter,$(deadcode),deadcode,deadcode -test ./... | { ! grep -Ev "Duration.UnmarshalText|texts.UnmarshalJSON"; }) # which encoding/json calls

packages:
	@.ci/packages test

e2e: ## Test against a real Dagger engine, where one answers
	@if ! command -v $(DAGGER) >/dev/null 2>&1; then echo "engine tests: not run: there is no dagger on the PATH"; \
	elif ! timeout 300 $(DAGGER) core version >/dev/null 2>&1; then echo "engine tests: not run: no Dagger engine answers ($(DAGGER) core version)"; \
	else echo "engine tests: run, on $$($(DAGGER) version)"; \
	cd test && _EXPERIMENTAL_DAGGER_CLI_BIN=$$(command -v $(DAGGER)) $(GO) test -count=1 -timeout=60m ./...; fi
