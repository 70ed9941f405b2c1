# The recipes of the house; CI runs the same ones. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help demo test examples bindings closed-loop bench lint build release setup clean

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# One selection of packages everywhere: another one would mean other features of the same dependencies,
# and compiling them again.
ALL := --workspace --locked
PUBLISHED := $(TARGET_DIR)/published
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

# Tests start engines of their own, which needs root. Not the compiler: sudo runs the test programs only.
ifneq ($(shell id -u),0)
HOST_TRIPLE := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
test closed-loop bench: export CARGO_TARGET_$(HOST_TRIPLE)_RUNNER := sudo -E
endif
# Where the snapshots are, for test programs that run as another user.
export INSTA_WORKSPACE_ROOT := $(CURDIR)

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## watch Windlass keep a web server alive (KEEP=1 leaves it running)
	@$(CARGO) build $(ALL) --bins
	@$$(.ci/setup runner) $(TARGET_DIR)/debug/demo $(if $(KEEP),--keep)

test: setup ## run every test, those on a real engine too
	$(CARGO) build $(ALL) --bins
	$(CARGO) test $(ALL)

examples: setup ## build the example policies from source and hold them to one table of cases
	$(CARGO) build $(ALL) --bins
	examples/policies/build
	$(CARGO) test $(ALL) --test examples -- --include-ignored

bindings: ## generate the C and Go bindings and the contract copies of the example policies
	WRITE_BINDINGS=1 $(CARGO) test $(ALL) --test bindings

closed-loop: setup ## a crowd, a balancer and replicas that follow, in two and a half minutes; nginx, too
	@.ci/setup balancer
	$(CARGO) build $(ALL) --bins
	$(CARGO) test $(ALL) --test closed_loop -- --include-ignored --nocapture

bench: setup ## measure, the engine's own speed beside ours
	$(CARGO) build $(ALL) --release --bins
	WINDLASS=$(abspath $(TARGET_DIR))/release/windlass examples/policies/build
	$(CARGO) bench $(ALL)

lint: setup ## format, clippy, documentation, licences and bans
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(ALL) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(ALL) --no-deps
	@$(CARGO) deny --version >/dev/null 2>&1 || test -x target/tools/bin/cargo-deny || \
		{ echo 'lint: compiling cargo-deny into target/tools, which takes minutes'; \
		  $(CARGO) install --quiet --locked --root target/tools cargo-deny; }
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) deny --locked check

build: setup ## compile the program: target/release/windlass
	$(CARGO) build --release --locked

release: build ## what a release publishes, in target/published: the program, the contract with policies, checksums
	rm -rf $(PUBLISHED)
	mkdir -p $(PUBLISHED)
	cp $(TARGET_DIR)/release/windlass $(PUBLISHED)/windlass-$(VERSION)-$(shell uname -m)-linux
	$(TARGET_DIR)/release/windlass policy wit > $(PUBLISHED)/windlass-policy-$(VERSION).wit
	cd $(PUBLISHED) && sha256sum windlass-* > SHA256SUMS

setup: ## install what is missing, and say so before; start an engine if none answers
	@.ci/setup

clean: ## remove what was compiled, and the images of the tests
	$(CARGO) clean
	@! command -v docker >/dev/null || docker images -q 'windlass-tests/*' | sort -u | xargs -r docker rmi -f >/dev/null
