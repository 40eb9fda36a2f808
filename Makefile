# make build | check | lab | lab-down | e2e | e2e-vm | e2e-crash | test | bench-up
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

export CGO_ENABLED = 0
export GOTOOLCHAIN = local

VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK := v0.7.0
TOOLS       := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kubewright/tools
AGENTS      := $(foreach arch,amd64 arm64,cmd/kubewright/agents/kubewright-agent-linux-$(arch).gz)
SOURCES     := go.mod go.sum $(shell find agent ops pki cmd/kubewright-agent -name '*.go' -not -name '*_test.go')

# What the lab and the bundle need on a Debian machine, as program:package.
PACKAGES := git gcc libc6-dev pkg-config libseccomp-dev mmdebstrap systemd-container iproute2 curl

# A package of Debian's, unless there is a program of that name already, wherever it came from.
needs = command -v $(1) >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1); }

.PHONY: help
help:
	@echo "make build     bin/kubewright with the agents in it"
	echo "make check     gofmt, vet, staticcheck and the tests that need no root and no network"
	echo "make lab       a real cluster on this machine: hosts (master, two nodes, a registry) and kubewright up"
	echo "               (with addons: make lab ADDONS=all)"
	echo "make lab-down  take them away"
	echo "make e2e       the program against real hosts (makes and takes away a lab)"
	echo "make e2e-vm    the same on a host with a kernel of its own: modules, swap, sysctls, ipvs, clocks, reboots"
	echo "make e2e-crash whatever can be killed, killed wherever it can be: hours"
	echo "make test      check, laws (the phases cut off at many of their changes, on pretend hosts) and e2e"
	echo "make bench-up  kubewright beside a scripted kubeadm on the same hosts"
	echo "make bench-hosts  preparing twenty hosts beside Ansible"

.PHONY: build
build: bin/kubewright

bin/kubewright: $(AGENTS) $(shell find . -name '*.go' -not -name '*_test.go' -not -path './.lab/*') $(shell find templates lab bundle inventory -type f -not -name '*.go') go.mod go.sum
	mkdir -p bin
	go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $@ ./cmd/kubewright

# The agents are the same bytes for the same sources: hosts know them by their hash.
cmd/kubewright/agents/kubewright-agent-linux-%.gz: $(SOURCES)
	GOOS=linux GOARCH=$* go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o bin/kubewright-agent-linux-$* ./cmd/kubewright-agent
	gzip -9 -n -c bin/kubewright-agent-linux-$* > $@

$(TOOLS)/staticcheck-$(STATICCHECK):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS)/new go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK)
	mv $(TOOLS)/new/staticcheck $@
	rmdir $(TOOLS)/new

.PHONY: check
check: deps $(AGENTS) $(TOOLS)/staticcheck-$(STATICCHECK)
	unformatted=$$(gofmt -l $$(git ls-files -c -o --exclude-standard '*.go'))
	if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	go vet -tags e2e ./...
	$(TOOLS)/staticcheck-$(STATICCHECK) -tags e2e ./...
	CGO_ENABLED=1 go test -race -short ./...
	for f in FuzzJSON FuzzTOML; do go test -run '^$$' -fuzz "^$$f\$$" -fuzztime 5s ./edit; done

.PHONY: deps
deps:
	missing=""
	for p in $(PACKAGES); do
	  dpkg-query -W -f '$${Status}' "$$p" 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"
	done
	if [ -n "$$missing" ]; then
	  apt-get update -qq
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing
	fi

.PHONY: bundle
bundle: build deps
	$(call needs,npm)
	bin/kubewright bundle build

# With ADDONS="ingress metrics-server", or ADDONS=all, these are in it as well.
ADDONS :=
.PHONY: lab
lab: bundle
	bin/kubewright lab up
	for a in $(if $(filter all,$(ADDONS)),metrics-server ingress storage dashboard monitoring,$(ADDONS)); do
	  bin/kubewright addon enable "$$a" --inventory-only -f .lab/cluster.yaml
	done
	bin/kubewright lab exec -- kubewright up -f .lab/cluster.yaml
	bin/kubewright lab exec -- kubectl get nodes -o wide

.PHONY: lab-down
lab-down: build
	bin/kubewright lab down

# Every test on real hosts, or all but those that SKIP names.
.PHONY: e2e
e2e: bundle
	$(call needs,chromium-headless-shell)
	go test -tags e2e -count=1 -timeout 10m -v -skip '$(or $(SKIP),^$$)' ./e2e/images ./e2e/browser
	go test -tags e2e -count=1 -timeout 70m -v -skip '$(or $(SKIP),^$$)' ./e2e/

# A host with a kernel of its own. Minutes where containers take seconds, so it is no part of test.
.PHONY: e2e-vm
e2e-vm: PACKAGES += user-mode-linux e2fsprogs
e2e-vm: bundle
	go test -tags e2e -count=1 -timeout 90m -v ./e2e/vm/

# The laws every phase list keeps, at a sample of all the changes at which a run can be cut off: minutes, where check may take two.
.PHONY: laws
laws:
	KUBEWRIGHT_LAWS=some go test -count=1 -timeout 20m -run '^TestLaws$$' ./phases

# All of the crash law, and reset held to it: hours, where e2e takes a sample. Few hosts, since every case is a run of its own.
.PHONY: e2e-crash
e2e-crash: bundle
	KUBEWRIGHT_CRASH=all KUBEWRIGHT_E2E_INVENTORY=$(CURDIR)/e2e/testdata/two.yaml \
	  go test -tags e2e -count=1 -timeout 300m -v -run '^(TestCrashLaw|TestRestore)$$' ./e2e/

.PHONY: test
test: check laws e2e

.PHONY: bench-up
bench-up: bundle
	go run ./e2e/benchup -kubewright bin/kubewright

.PHONY: bench-hosts
bench-hosts: bundle
	dpkg-query -W -f '$${Status}' ansible 2>/dev/null | grep -q 'ok installed' || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ansible
	go run ./e2e/benchhosts -kubewright bin/kubewright

.PHONY: clean
clean:
	rm -rf -- bin cmd/kubewright/agents/*.gz
