# The recipes of this repository; CI runs the same ones. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help demo demo-swarm test examples bindings fuzz requests closed-loop bench lint build image release setup clean

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# Every package: another selection could choose other features of the same dependencies, and compile them again.
ALL := --workspace --locked
PUBLISHED := $(TARGET_DIR)/published
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

# Some tests start a container engine, which needs root. The compiler does not: sudo runs only the test programs.
ifneq ($(shell id -u),0)
HOST_TRIPLE := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
test closed-loop bench: export CARGO_TARGET_$(HOST_TRIPLE)_RUNNER := sudo -E
endif
# The folder of the snapshots, for test programs that run as another user.
export INSTA_WORKSPACE_ROOT := $(CURDIR)

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## watch Windlass keep a web server alive (KEEP=1 leaves it running)
	@$(CARGO) build $(ALL) --bins
	@$$(.ci/setup runner) $(TARGET_DIR)/debug/demo $(if $(KEEP),--keep)

demo-swarm: setup ## watch Windlass scale a stack on a Swarm of three nodes, one of which dies; a minute
	@$(CARGO) build $(ALL) --bins
	@$(if $(filter 0,$(shell id -u)),,sudo -E) $(TARGET_DIR)/debug/demo-swarm

# The tests of the engine mostly wait for it, so more of them run at once than there are processors.
# Without documentation tests, of which there are none: rustdoc would read each crate to find that out.
test: setup ## run every test, including those on a real container engine
	$(CARGO) build $(ALL) --bins
	$(CARGO) test $(ALL) --lib --bins $(addprefix --test ,command_line documents policies simulated)
	$(CARGO) test $(ALL) --test engine -- --test-threads=4

examples: setup ## build the example policies from source and check them against one table of cases
	$(CARGO) build $(ALL) --bins
	examples/policies/build
	$(CARGO) test $(ALL) --test policies examples:: -- --include-ignored

bindings: ## generate the C and Go bindings and the contract copies of the example policies
	WRITE_BINDINGS=1 $(CARGO) test $(ALL) --test policies bindings::

FUZZ_SECONDS ?= 600
fuzz: setup ## damage the input of each parser of hostile input, for FUZZ_SECONDS (600) in all
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test $(ALL) --test policies fuzz:: -- --nocapture --test-threads=1

REQUESTS ?= 500
requests: setup ## send REQUESTS (500) generated requests to each operation of the API
	REQUESTS=$(REQUESTS) $(CARGO) test $(ALL) --lib tests::generated::

closed-loop: setup ## scale replicas behind HAProxy under a changing load, and configure nginx; two and a half minutes
	@.ci/setup balancer
	$(CARGO) build $(ALL) --bins
	$(CARGO) test $(ALL) --test closed_loop -- --include-ignored --nocapture

bench: setup ## measure Windlass and the container engine in the same run
	$(CARGO) build $(ALL) --release --bins
	WINDLASS=$(abspath $(TARGET_DIR))/release/windlass examples/policies/build
	$(CARGO) bench $(ALL)

lint: setup ## check format, clippy, documentation, licences and banned crates
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(ALL) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(ALL) --no-deps
	@$(CARGO) deny --version >/dev/null 2>&1 || test -x target/tools/bin/cargo-deny || \
		{ echo 'lint: compiling cargo-deny into target/tools, which takes minutes'; \
		  $(CARGO) install --quiet --locked --root target/tools cargo-deny; }
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) deny --locked check

build: setup ## compile the program into target/release/windlass
	$(CARGO) build --release --locked

# The flags after `--` make the program static, because the image has no C library, and smaller. Both are checked: the size is
# the limit of the image's test, too.
IMAGE ?= windlass:$(VERSION)
MOST_BYTES := 60000000
image: setup ## build the image windlass:VERSION (IMAGE names another), which runs without privileges; 15 minutes
	@command -v docker >/dev/null || { echo 'image: no `docker` command; install docker-cli, or docker.io before Debian 13'; exit 1; }
	$(CARGO) rustc --locked --profile image --package windlass --bin windlass -- \
		-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs
	@! ldd $(TARGET_DIR)/image/windlass 2>&1 | grep '/' || { echo 'image: the program is not static'; exit 1; }
	examples/deploy/context $(TARGET_DIR)/image/windlass >$(TARGET_DIR)/image.tar
	DOCKER_BUILDKIT=0 $$(.ci/setup runner) docker build --tag $(IMAGE) - <$(TARGET_DIR)/image.tar
	@size=$$($$(.ci/setup runner) docker image inspect --format '{{.Size}}' $(IMAGE)) && \
		echo "$(IMAGE) has $$size bytes, of at most $(MOST_BYTES)" && test "$$size" -lt $(MOST_BYTES)

release: build ## put the files of a release into target/published: the program, its manual pages and completions, the policy contract, checksums
	rm -rf $(PUBLISHED)
	mkdir -p $(PUBLISHED)
	cp $(TARGET_DIR)/release/windlass $(PUBLISHED)/windlass-$(VERSION)-$(shell uname -m)-linux
	$(TARGET_DIR)/release/windlass policy wit > $(PUBLISHED)/windlass-policy-$(VERSION).wit
	$(TARGET_DIR)/release/windlass man --directory $(PUBLISHED)/share/man1
	for shell in bash zsh fish; do $(TARGET_DIR)/release/windlass completions $$shell > $(PUBLISHED)/share/windlass.$$shell; done
	tar -C $(PUBLISHED) -czf $(PUBLISHED)/windlass-$(VERSION)-share.tar.gz share && rm -r $(PUBLISHED)/share
	cd $(PUBLISHED) && sha256sum windlass-* > SHA256SUMS

setup: ## install missing tools, after listing them; start a container engine if none answers
	@.ci/setup

clean: ## remove build output and the images of the tests
	$(CARGO) clean
	@! command -v docker >/dev/null || docker images -q 'windlass-tests/*' | sort -u | xargs -r docker rmi -f >/dev/null
