# One non-recursive build. Objects and programs of each flavour live side by side in build/<flavour>/:
#   make                    release          make SAN=address,undefined …   build/asan        make SAN=thread …   build/tsan
#   make SAN=memcheck …     build/memcheck: no sanitizer, little optimisation, for valgrind
# `make help` lists the targets.

SAN ?=
ifeq ($(SAN),)
FLAVOUR := release
else ifeq ($(SAN),thread)
FLAVOUR := tsan
else ifeq ($(SAN),memcheck)
FLAVOUR := memcheck
else
FLAVOUR := asan
endif
B := build/$(FLAVOUR)
CC := gcc

VERSION := $(shell cat VERSION)
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings \
	-Wformat=2 -Wundef -Wvla -Walloca -Wnull-dereference -Wlogical-op -Wduplicated-cond
ifeq ($(CI),true)
WARN += -Werror
endif
BASE := -std=gnu17 -g -D_GNU_SOURCE -pthread -I. -I$(B)/gen -MMD -MP
ifeq ($(SAN),)
OPT := -O2 -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fPIE
LDOPT := -pie -Wl,-z,relro,-z,now -Wl,--gc-sections
else ifeq ($(SAN),memcheck)
OPT := -O1 -fno-omit-frame-pointer
LDOPT :=
else
OPT := -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
LDOPT := -fsanitize=$(SAN)
# gcc's flow analysis sees through sanitizer instrumentation badly.
WARN += -Wno-null-dereference -Wno-maybe-uninitialized
endif
CFLAGS := $(BASE) $(OPT) $(WARN)
LDFLAGS := -pthread $(LDOPT)

# AES-GCM of TLS records: Debian has this library for x86-64 only. Without it OpenSSL's is used (common/crypto/tls_aead.c).
IPSEC_MB := $(if $(wildcard /usr/include/intel-ipsec-mb.h),-lIPSec_MB)
LIBS_COMMON := -lsodium -lcrypto -lssl -luv -lnghttp2 -lwslay -lzstd -ljansson $(IPSEC_MB) -lm
LIBS_SERVER := -lcurl -lmicrohttpd -lsqlite3 -ljwt -lz -lqrencode $(LIBS_COMMON)
LIBS_DERP := -lcurl $(LIBS_COMMON)
LIBS_CLIENT := -lqrencode $(LIBS_COMMON)
LIBS_OIDC := -loauth2 -lcurl -lseccomp $(LIBS_COMMON)

src = $(foreach d,$(1),$(wildcard $(d)/*.c))
obj = $(patsubst %.c,$(B)/%.o,$(1))

COMMON_C := $(call src,$(addprefix common/,base crypto net http text wire))
SERVER_C := $(filter-out server/main.c,$(call src,server $(addprefix server/,front ts2021 core policy map store login api cli)))
OIDC_C := $(call src,server/oidc_helper)
DERP_C := $(filter-out derp/main.c,$(call src,derp))
CLIENT_C := $(filter-out client/main.c,$(call src,client $(addprefix client/,cli control path wg tun route dns filter)))
TESTLIB_C := $(call src,tests/lib)

LIBCOMMON := $(B)/libcommon.a
LIBSERVER := $(B)/libserver.a
LIBDERP := $(B)/libderp.a
LIBCLIENT := $(B)/libclient.a
LIBTEST := $(B)/libtest.a

PROGRAMS := $(patsubst %/main.c,%,$(wildcard server/main.c derp/main.c client/main.c))
PROGRAM_FILES := $(patsubst %,$(B)/%,$(subst client,fairlead-client,$(subst derp,fairlead-derp,$(subst server,fairlead,$(PROGRAMS))))) $(B)/fairlead-oidc

UNIT_C := $(shell find tests/unit -name 'test_*.c' 2>/dev/null | sort)
SIM_C := $(wildcard tests/sim/sim_*.c)
SIM_PARTS_C := $(filter-out $(SIM_C),$(wildcard tests/sim/*.c))
FUZZ_C := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_C := $(wildcard tests/bench/*.c)
UNIT := $(patsubst %.c,$(B)/%,$(UNIT_C))
SIM := $(patsubst %.c,$(B)/%,$(SIM_C))
REPLAY := $(patsubst %.c,$(B)/%,$(FUZZ_C))
BENCH := $(patsubst %.c,$(B)/%,$(BENCH_C))

.PHONY: all help web
all: $(PROGRAM_FILES) web

# The console: web/dist, made by Node when a source is newer.
WEB_SOURCES := $(shell find web/src web/public web/scripts web/index.html web/build.sh web/vite.config.ts web/tsconfig.json web/package-lock.json web/.npmrc -type f 2>/dev/null)
web/dist/index.html: $(WEB_SOURCES)
	sh web/build.sh
web: web/dist/index.html

help:
	@echo 'make            build the programs (build/release/)'
	@echo 'make web        the console alone (web/dist/); it is part of make and needs Node 18 with npm'
	@echo 'make run        install what is missing, build, start the server with its data in ./run'
	@echo 'make test       every test that needs no official client: unit, simulation, conformance, integration, fuzz replay'
	@echo 'make test-unit | test-sim | test-tsan | test-integration | fuzz-replay    parts of it'
	@echo 'make interop    the official client as a Go library against the real server'
	@echo 'make accept     black-box suite with TAILSCALED=… TAILSCALE=… (official binaries)'
	@echo 'make bench      figures of this machine;  make soak: the long tests'
	@echo 'make valgrind   the unit tests under memcheck, which finds uninitialised reads'
	@echo 'make fuzz       clang libFuzzer binaries in build/fuzz;  make lint: clang-tidy, cppcheck, forbidden calls'
	@echo 'make install    DESTDIR= PREFIX=/usr/local'

# ---- objects -------------------------------------------------------------------------------------------------------

# common/ is the most reused code: conversions are spelled out there.
$(B)/common/%.o: common/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Wconversion -Wno-sign-conversion -c $< -o $@

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c $< -o $@

# The version is its own object, so that a commit rebuilds one file.
$(B)/gen/version.c: VERSION FORCE
	@mkdir -p $(@D)
	@printf '#include "common/base/version.h"\nconst char fairlead_version[] = "%s";\nconst char fairlead_commit[] = "%s";\n' '$(VERSION)' '$(COMMIT)' > $@.new
	@cmp -s $@.new $@ 2>/dev/null && rm $@.new || mv $@.new $@
$(B)/gen/version.o: $(B)/gen/version.c
	$(CC) $(CFLAGS) -c $< -o $@

# db/migrations/*.sql are embedded, in order.
$(B)/gen/migrations.c: $(wildcard db/migrations/*.sql) db/embed.sh
	@mkdir -p $(@D)
	sh db/embed.sh db/migrations > $@.new && mv $@.new $@
$(B)/gen/migrations.o: $(B)/gen/migrations.c
	$(CC) $(CFLAGS) -c $< -o $@

# server/api/openapi/*.hujson: what the calls take and answer.
$(B)/gen/openapi_files.c: $(wildcard server/api/openapi/*.hujson) server/api/openapi/embed.sh
	@mkdir -p $(@D)
	sh server/api/openapi/embed.sh server/api/openapi > $@.new && mv $@.new $@
$(B)/gen/openapi_files.o: $(B)/gen/openapi_files.c
	$(CC) $(CFLAGS) -c $< -o $@

# web/dist, the console as it was built, lies in the server. The C file changes whenever a file of it does.
$(B)/gen/web_assets.c: web/embed.sh web/dist/index.html FORCE
	@mkdir -p $(@D)
	@sh web/embed.sh web/dist > $@.new
	@cmp -s $@.new $@ 2>/dev/null && rm $@.new || mv $@.new $@
$(B)/gen/web_assets.o: $(B)/gen/web_assets.c
	$(CC) $(CFLAGS) -c $< -o $@

.PHONY: FORCE
FORCE:

define archive
	@rm -f $@
	ar rcs $@ $^
endef
$(LIBCOMMON): $(call obj,$(COMMON_C)) $(B)/gen/version.o
	$(archive)
$(LIBSERVER): $(call obj,$(SERVER_C)) $(B)/gen/migrations.o $(B)/gen/openapi_files.o $(B)/gen/web_assets.o
	$(archive)
$(LIBDERP): $(call obj,$(DERP_C))
	$(archive)
$(LIBCLIENT): $(call obj,$(CLIENT_C))
	$(archive)
$(LIBTEST): $(call obj,$(TESTLIB_C))
	$(archive)

# ---- programs ------------------------------------------------------------------------------------------------------

$(B)/fairlead: $(B)/server/main.o $(LIBSERVER) $(LIBDERP) $(LIBCOMMON)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_SERVER)
# The one program with liboauth2 (AGPL in Debian 12) and libcurl.
$(B)/fairlead-oidc: $(call obj,$(OIDC_C)) $(LIBCOMMON)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_OIDC)
$(B)/fairlead-derp: $(B)/derp/main.o $(LIBDERP) $(LIBCOMMON)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_DERP)
$(B)/fairlead-client: $(B)/client/main.o $(LIBCLIENT) $(LIBCOMMON)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CLIENT)

# ---- tests ---------------------------------------------------------------------------------------------------------

TEST_LIBS := $(LIBTEST) $(LIBCLIENT) $(LIBSERVER) $(LIBDERP) $(LIBCOMMON)
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(TEST_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< $(TEST_LIBS) -lcmocka $(LIBS_SERVER) -lqrencode
# The other files of tests/sim/ belong to each simulation.
$(B)/tests/sim/sim_%: $(B)/tests/sim/sim_%.o $(call obj,$(SIM_PARTS_C)) $(TEST_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< $(call obj,$(SIM_PARTS_C)) $(TEST_LIBS) -lcmocka $(LIBS_SERVER) -lqrencode
# Under gcc a fuzzer replays its corpus: tests/fuzz/replay.c is the main().
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(TEST_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< $(B)/tests/fuzz/replay.o $(TEST_LIBS) $(LIBS_SERVER) -lqrencode
$(B)/tests/bench/%: $(B)/tests/bench/%.o $(TEST_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< $(TEST_LIBS) $(LIBS_SERVER) -lqrencode

.PHONY: unit-binaries sim-binaries replay-binaries bench-binaries
unit-binaries: $(UNIT)
sim-binaries: $(SIM)
replay-binaries: $(REPLAY)
bench-binaries: $(BENCH)
.SECONDARY:

# Builds of another flavour: in parallel, unless we are part of a parallel make already.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
ASAN = $(MAKE) --no-print-directory $(JOBS) SAN=address,undefined
TSAN = $(MAKE) --no-print-directory $(JOBS) SAN=thread

.PHONY: test test-unit test-sim test-tsan test-integration fuzz-replay conformance interop accept bench soak fuzz lint valgrind
test-unit:
	+$(ASAN) unit-binaries
	python3 tests/run.py unit --each 90 --budget 240 $(patsubst %.c,build/asan/%,$(UNIT_C))
test-sim:
	+$(ASAN) sim-binaries
	python3 tests/run.py sim --budget 180 $(patsubst %.c,build/asan/%,$(SIM_C))
fuzz-replay:
	+$(ASAN) replay-binaries
	python3 tests/run.py fuzz-replay --budget 60 $(patsubst %.c,build/asan/%,$(FUZZ_C))

-include Makefile.tests

# ---- fuzzing with clang --------------------------------------------------------------------------------------------

fuzz:
	sh tests/fuzz/build.sh $(FUZZ_C)

lint:
	sh tests/lint.sh

# ---- the first start and installing --------------------------------------------------------------------------------

.PHONY: run install clean
run:
	+@sh deploy/run.sh

PREFIX ?= /usr/local
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)/etc/fairlead $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 0755 $(PROGRAM_FILES) $(DESTDIR)$(PREFIX)/bin/
	[ -e $(DESTDIR)/etc/fairlead/config.toml ] || install -m 0644 config.example.toml $(DESTDIR)/etc/fairlead/config.toml
	for u in deploy/systemd/*.service; do sed 's#@PREFIX@#$(PREFIX)#g' $$u > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$(basename $$u); done

clean:
	rm -rf build web/dist

-include $(shell find build -name '*.d' 2>/dev/null)
