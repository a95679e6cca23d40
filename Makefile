# make setup | test | demo | bench | growth | soak | recordings | screens | shell | run | docs | site | programs | dist | deb | image | userlands | lint: see README.md and CONTRIBUTING.md. Made for Debian 12, as root.

# What `make test` runs on (labels of tests/kernel/matrix.toml, all when empty), on which processor (amd64 when empty; of
# another one a few scenarios run anyway), with what further words for pytest.
KERNELS ?=
ARCH ?=
ARGS ?=
# Where `make bench`, `make soak`, `make shell` and `make run` go.
KERNEL ?= 6.1
CMD ?= uname -a
# How often `make bench` has each of its watchers; by the time of day, or by `instructions`, whatever else the host does.
ROUNDS ?= 3
# How long `make soak` floods it.
MINUTES ?= 30
# `watch`: the recorder.
OF ?=
CLOCK ?=

# strongSwan is for the guests, Prometheus and VictoriaMetrics are started by the tests: their services are masked, so that installing them starts no daemon here.
# bcc is the distribution's (PyPI's package of that name is something else), so is the Python that it is built for.
PACKAGES := arptables bpftool busybox-static charon-systemd clang-format conntrack ebtables ethtool gcc iproute2 iptables iputils-arping iputils-ping \
            ipvsadm jq kmod libc6-dev lsof nftables procps python3-bpfcc python3-venv qemu-system-x86 strongswan-swanctl systemd sysstat tcpdump traceroute tshark \
            wireguard-tools
# What a root file system has that the laboratory builds, beside Python's.
export ROOT_PACKAGES := $(filter-out clang-format qemu-system-x86,$(PACKAGES)) mount
SYSTEM_PYTHON := /usr/bin/python3
PYTHON := .venv/bin/python
LAB := PYTHONPATH=tests/kernel $(PYTHON) -m lab

.DEFAULT_GOAL := help
.PHONY: help packages setup test demo bench growth soak recordings screens shell run docs site programs lint dist deb image selftests userlands

help:
	@echo 'make setup                  packages and .venv/bin/whydrop'
	@echo 'make demo                   a broken IPsec tunnel in an emulated kernel, and what whydrop says about it'
	@echo 'make test [KERNELS="6.1"]   every test, on every kernel of tests/kernel/matrix.toml or on these'
	@echo 'make test ARCH=arm64        every scenario on the kernels of another processor'
	@echo 'make bench [KERNEL=6.12]    what whydrop costs a packet, beside bpftrace and dropwatch in the same guest'
	@echo 'make growth                 is it as quick where 20,000 rules, 5,000 SAs, 1,000 namespaces, ... are?'
	@echo 'make soak [MINUTES=30]      (OF=watch: the recorder) drops at the highest rate, while rules, SAs, modules, ... come and go: is it flat, is it exact?'
	@echo 'make userlands              scenarios and unit tests in Debian 13 and sid, on their own kernels'
	@echo 'make recordings KERNEL=6.12 what its scenarios find, recorded for tests/replay'
	@echo 'make screens                what a person sees of them, stored in tests/replay/screens'
	@echo 'make shell KERNEL=6.12      a root shell in one of these kernels; make run CMD=... for one command'
	@echo 'make programs               bpf/programs.MACHINE, after a change in bpf/: compiled once for every kernel'
	@echo 'make docs                   what is generated: docs/causes/, docs/whydrop.1, docs/json.md, packaging/completion/, ...'
	@echo 'make site                   site/: a page for each cause, with a search, to be opened or put on any web server'
	@echo 'make dist                   dist/: wheel and sdist, built twice and equal, tried in a plain virtual environment'
	@echo 'make deb, make image        of that a package for Debian 12 and 13, and of that a container image'
	@echo 'make lint                   ruff, mypy, clang-format'

packages:
	@missing=$$(for package in $(PACKAGES); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	    echo "setup: installing" $$missing; \
	    case "$$missing" in *charon-systemd*) \
	        test ! -d /run/systemd/system || systemctl mask --quiet strongswan.service;; esac; \
	    case "$$missing" in *prometheus*) \
	        test ! -d /run/systemd/system || systemctl mask --quiet prometheus.service;; esac; \
	    case "$$missing" in *victoria-metrics*) \
	        test ! -d /run/systemd/system || systemctl mask --quiet victoria-metrics.service;; esac; \
	    apt-get update -q=2; DEBIAN_FRONTEND=noninteractive \
	        apt-get install -q=2 -y --no-install-recommends $$missing >/dev/null; \
	fi

.venv/.ready: pyproject.toml packaging/bin/whydrop | packages
	@echo 'setup: .venv with what pyproject.toml asks for'
	@$(PYTHON) -c 'import bcc, pip' 2>/dev/null || $(SYSTEM_PYTHON) -m venv --clear --system-site-packages .venv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: packages .venv/.ready

# A browser that the page of `whydrop report` is looked at with (300 MB), what scrapes the recorder (200 MB), shells that complete, what shows a manual page: wanted here only.
test: PACKAGES += chromium fish groff-base mandoc mmdebstrap prometheus qemu-system-arm victoria-metrics zsh
test: setup lint
	@$(PYTHON) -m compileall -q dropwatch tests  # not in the guests, where it would take long
	@KERNELS='$(KERNELS)' ARCH='$(ARCH)' $(PYTHON) -m pytest $(ARGS)

demo: setup
	@$(LAB) run --kernel 6.1 -- $(PYTHON) tests/kernel/demo.py

# What whydrop shows in the scenarios on a kernel, with all that it was made of, for tests/replay.
recordings: setup
	@KERNELS='$(KERNEL)' WHYDROP_RECORDINGS=tests/replay/recordings $(PYTHON) -m pytest tests/kernel

screens: setup
	@$(PYTHON) -m tests.replay.shown

# Its peers are wanted here only.
bench: PACKAGES += bpftrace dropwatch linux-perf
bench: setup
	@output=$$(mktemp) && { $(if $(filter instructions,$(CLOCK)),PATH="$(CURDIR)/tests/bench/instructions:$$PATH") \
	    $(LAB) run --kernel $(KERNEL) --timeout 5000 -- env PYTHONPATH=tests:tests/kernel \
	    $(PYTHON) -m bench $(ROUNDS) '$(if $(filter instructions,$(CLOCK)),1000 instructions,microseconds)' | tee $$output; \
	    PYTHONPATH=tests $(PYTHON) -m bench.page $$output; status=$$?; rm -f $$output; exit $$status; }

growth: setup
	@PATH="$(CURDIR)/tests/bench/instructions:$$PATH" $(LAB) run --kernel $(KERNEL) --timeout 5000 -- \
	    env PYTHONPATH=tests:tests/kernel $(PYTHON) -m bench.growth

soak: setup
	@$(LAB) run --kernel $(KERNEL) --timeout $$(($(MINUTES) * 200 + 900)) -- env PYTHONPATH=tests:tests/kernel $(PYTHON) -m bench.soak $(MINUTES) $(OF)

# The kernel's own selftests with whydrop beside them: by hand, and for half an hour.
selftests: PACKAGES += netsniff-ng socat iperf3
selftests: setup
	@PYTHONPATH=tests/kernel $(PYTHON) tests/kernel/selftests.py prepare
	@$(LAB) run --kernel $(KERNEL) --timeout 9000 -- env PYTHONPATH=tests/kernel $(PYTHON) tests/kernel/selftests.py run $(TESTS)

# Other Debians than this one, in a guest and in namespaces: by hand, and for half an hour each.
userlands: PACKAGES += mmdebstrap
userlands: setup
	@PYTHONPATH=tests/kernel $(PYTHON) tests/kernel/userlands.py $(SUITES)

shell run: PACKAGES += $(if $(filter arm64%,$(KERNEL)),mmdebstrap qemu-system-arm)
shell: setup
	@$(LAB) shell --kernel $(KERNEL) || true

run: setup
	@$(LAB) run --kernel $(KERNEL) -- sh -c '$(subst ','\'',$(CMD))'

# What is made of the catalogue, the recordings, the types of the JSON's lines and the options; a test says when it is out of date.
docs: setup
	@$(PYTHON) -m manual

# The same pages for a browser, without a server or the network.
site: setup
	@$(PYTHON) -m manual site site && echo 'site/index.html'

programs: setup
	@$(PYTHON) -m dropwatch.probe.programs.release

dist: setup
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dist]'
	@PYTHON=$(PYTHON) packaging/dist.sh

# Needs root, for the bare Debians that it is tried in.
deb: PACKAGES += debhelper dh-python dpkg-dev fakeroot lintian mmdebstrap
deb: dist
	@packaging/deb.sh

# Needs root, and the package.
image: PACKAGES += buildah mmdebstrap
image: deb
	@packaging/image.sh

lint: setup
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --quiet --check .
	@$(PYTHON) -m mypy --no-error-summary
	@clang-format --dry-run --Werror $$(find bpf -name '*.[ch]')
