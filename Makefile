# The short names of everything; `make` alone lists them.
#
# On a fresh Debian 12 nothing but git and make need be there: what else is missing is installed first,
# system packages by apt-get (when root), Python packages into .venv. tools/prepare does it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
.PHONY: help demo test test-pythons bench bench-driver lint lab lab-test lab-down deb install uninstall clean

PREFIX ?= /usr/local
LIB := $(PREFIX)/lib/ipsecfd
ARGS ?=
export PYTHON ?=

# After `sudo make` nothing in somebody's checkout shall belong to root. What another make that runs here
# removes meanwhile is no failure of this one.
give_back = trap '[ "$$(id -u)" != 0 ] || [ -O . ] || find . -ignore_readdir_race -user root -exec chown -fh --reference=. {} + || :' EXIT
need_root = [ "$$(id -u)" = 0 ] || { echo "ipsecfd: network namespaces need root: sudo make $@" >&2; exit 1; }

help: ## this list
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## two hosts in network namespaces, the web server policy, real packets (root)
	$(need_root); $(give_back)
	tools/prepare run
	.venv/bin/ipsecfd lab demo $(ARGS)

test: ## every check and test; without root the live ones are skipped. ARGS='-k table' for some
	$(give_back)
	tools/prepare test
	[ "$$(id -u)" = 0 ] || echo "Not root: the live tests are skipped, sudo make test runs them."
	$(checks)
	.venv/bin/pytest --numprocesses 2 --maxschedchunk 1 $(ARGS)

test-pythons: ## unit and property tests on every other Python from 3.11 to 3.13 that is here
	$(give_back)
	tools/prepare test
	tools/pythons $(ARGS)

bench: ## how fast, beside iptables, scapy and a bare queue (root)
	$(need_root); $(give_back)
	tools/prepare bench
	.venv/bin/python -m tests.bench $(ARGS)

bench-driver: ## how long the driver takes for a packet, kind by kind
	$(give_back)
	tools/prepare test
	.venv/bin/pytest tests/bench --benchmark-enable --benchmark-columns=median,min,ops --benchmark-sort=fullname $(ARGS)

lint: ## ruff and mypy only
	$(give_back)
	tools/prepare test
	$(checks)

lab: ## two virtual machines by Vagrant, guard and peer; without a public box it builds one (root)
	$(give_back)
	IPSECFD_MAKE=$$PPID tools/lab up

lab-test: ## what only whole machines can show: tests/vm. ARGS='-k reboot' for some
	$(give_back)
	IPSECFD_MAKE=$$PPID tools/lab test $(ARGS)

lab-down: ## end the two virtual machines and leave nothing of them
	tools/lab down

define checks
.venv/bin/ruff check --quiet
.venv/bin/ruff format --check --quiet || { echo "ipsecfd: ruff format would change the files above" >&2; exit 1; }
.venv/bin/mypy
endef

deb: ## build/ipsecfd_VERSION_ARCH.deb, for the Debian release of this machine
	$(give_back)
	tools/deb

install: ## the service: /usr/local/bin/ipsecfd, its unit, /etc/ipsecfd (root)
	[ "$$(id -u)" = 0 ] || { echo "ipsecfd: sudo make install" >&2; exit 1; }
	$(give_back)
	tools/prepare run $(LIB)
	install -d $(PREFIX)/bin
	ln -sfn $(LIB)/bin/ipsecfd $(PREFIX)/bin/ipsecfd
	tools/lay-out / $(PREFIX) $(LIB)/bin/python >$(LIB)/laid-out
	getent group ipsecfd >/dev/null || groupadd --system ipsecfd
	[ ! -d /run/systemd/system ] || systemctl daemon-reload
	# Who has enabled an older version has enabled its units, not those of this one.
	! systemctl --quiet is-enabled ipsecfd 2>/dev/null || systemctl --quiet enable ipsecfd
	# In a chroot systemctl says yes to everything.
	if [ -d /run/systemd/system ] && systemctl --quiet is-active ipsecfd 2>/dev/null; then
		echo "Installed. What runs is still the old one: systemctl restart ipsecfd"
	else
		echo "Installed. Start it, now and at every boot: systemctl enable --now ipsecfd"
	fi

uninstall: ## take it away; /etc/ipsecfd, its state and its logs stay (root)
	[ "$$(id -u)" = 0 ] || { echo "ipsecfd: sudo make uninstall" >&2; exit 1; }
	[ ! -d /run/systemd/system ] || systemctl --quiet disable --now ipsecfd 2>/dev/null || true
	[ ! -d /run/systemd/system ] || systemctl stop ipsecfd-boot ipsecfd-stop 2>/dev/null || true
	nft delete table inet ipsecfd 2>/dev/null || true # what a failed service left
	[ ! -e $(LIB)/laid-out ] || xargs -r -d '\n' rm -f <$(LIB)/laid-out
	rm -rf $(LIB) $(PREFIX)/bin/ipsecfd $(PREFIX)/share/doc/ipsecfd /etc/logrotate.d/ipsecfd /run/ipsecfd
	[ ! -d /run/systemd/system ] || systemctl daemon-reload
	echo "Removed. Left in place: /etc/ipsecfd, /var/lib/ipsecfd, /var/log/ipsecfd, group ipsecfd."

clean: ## remove .venv, caches and build leftovers
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
