# make				the release binary, build/release/sluice
# make test | demo | demo-cdc	(they fetch what is missing; see deploy/deps)
# make chaos SEED=n FAULTS=n	everything that can happen to a pool, for some minutes
# make zipf			refresh ahead on against off, some minutes
# make matrix			the same tests on every server that can be had
# make install PREFIX=/usr DESTDIR=/somewhere
# VARIANT	release asan tsan cover fuzz live side by side in build/; any other name is a release
# CC=clang-19	wants a VARIANT of its own		MYSQL=mariadb|mysqlclient	the client library
# WERROR=1	warnings are errors			V=1	show commands

VERSION = 0.1.0
VARIANT ?= release
PREFIX ?= /usr/local
B := build/$(VARIANT)
Q := $(if $(V),,@)

# what deploy/deps built comes before the system's ($(shell) sees no exported variable)
pkg-config := PKG_CONFIG_PATH=$(CURDIR)/build/deps/lib/pkgconfig:$(PKG_CONFIG_PATH) pkg-config
MYSQL ?= $(shell $(pkg-config) --exists libmariadb && echo mariadb || echo mysqlclient)
PACKAGES := hiredis yyjson rdkafka libmicrohttpd yaml-0.1 $(MYSQL:mariadb=libmariadb)

# pkg-config may name the same missing package once a line; have-deps says it better
package_flags := $(shell $(pkg-config) --cflags $(PACKAGES) 2>/dev/null)
package_libs := $(shell $(pkg-config) --libs $(PACKAGES) 2>/dev/null)
cmocka_libs = $(shell $(pkg-config) --libs cmocka)

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wcast-qual -Wwrite-strings -Wformat=2 -Wvla -Wundef -Wswitch-enum -Wimplicit-fallthrough \
	$(if $(WERROR),-Werror)
HARDEN = -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
# less optimized code makes gcc imagine truncations
flags_asan = -O1 -g -Wno-format-truncation -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
flags_tsan = -O1 -g -Wno-format-truncation -fsanitize=thread -fno-omit-frame-pointer
flags_cover = -O0 -g -Wno-format-truncation --coverage
flags_fuzz = -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
flags_other = -O2 -g $(HARDEN)
OPTIMIZE = $(or $(flags_$(VARIANT)),$(flags_other))

# other people's headers are -isystem: our warnings are about our code
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"' -I. \
	$(patsubst -I%,-isystem %,$(package_flags)) -pthread -fPIE $(WARNINGS) $(OPTIMIZE) $(CFLAGS)
ALL_LDFLAGS = -pthread -pie -Wl,-z,relro,-z,now $(OPTIMIZE) $(CFLAGS) $(LDFLAGS)
LINK = $(Q)$(if $(V),,echo "  link $@";) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^)

sources := $(wildcard common/*.c config/*.c worker/*.c worker/*/*.c)
library := $(patsubst %.c,$(B)/%.o,$(filter-out worker/main.c,$(sources)))
support := $(patsubst %.c,$(B)/%.o,$(wildcard tests/support/*.c))
units := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
fuzzers := $(patsubst tests/fuzz/%.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
benches := $(patsubst tests/bench/%.c,$(B)/bench_%,$(wildcard tests/bench/*.c))
simulation := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c))
simulation_of_refresh := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim_refresh/*.c))
shop := $(patsubst %.c,$(B)/%.o,$(wildcard tests/demo/*.c))
binary := $(if $(wildcard worker/main.c),$(B)/sluice)
sim := $(if $(simulation),$(B)/sim) $(if $(simulation_of_refresh),$(B)/sim_refresh)
kafka_tool := $(if $(wildcard tests/kafka/tool.c),$(B)/kafka_tool)
test_programs := $(units) $(sim) $(kafka_tool)

all: $(or $(binary),$(B)/libsluice.a)

$(B)/%.o: %.c Makefile | have-deps
	@mkdir -p $(@D)
	$(Q)$(if $(V),,echo "  cc $<";) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# it holds the file
$(B)/worker/cache/library.o: worker/cache/functions.lua

$(B)/libsluice.a: $(library)
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/libsupport.a: $(support)
	$(Q)rm -f $@ && ar rcs $@ $^

archives := $(if $(support),$(B)/libsupport.a) $(B)/libsluice.a
$(B)/sluice: $(B)/worker/main.o $(B)/libsluice.a
	$(LINK) $(package_libs) -lm
$(B)/unit/%: $(B)/tests/unit/%.o $(archives)
	@mkdir -p $(@D)
	$(LINK) $(cmocka_libs) $(package_libs) -lm
$(B)/sim: $(simulation) $(archives)
	$(LINK) $(package_libs) -lm
$(B)/sim_refresh: $(simulation_of_refresh) $(archives)
	$(LINK) $(package_libs) -lm
$(B)/demo_shop: $(shop) $(B)/libsluice.a
	$(LINK) $(package_libs) -lm
$(B)/kafka_tool: $(B)/tests/kafka/tool.o
	$(LINK) $(package_libs) -lm
$(B)/bench_%: $(B)/tests/bench/%.o $(archives)
	$(LINK) $(package_libs) -lm
$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(archives)
	$(LINK) $(package_libs) -lm -fsanitize=fuzzer

-include $(patsubst %.o,%.d,$(library) $(support) $(simulation) $(simulation_of_refresh) $(shop) $(B)/worker/main.o $(B)/tests/kafka/tool.o \
	$(units:$(B)/unit/%=$(B)/tests/unit/%.o) $(fuzzers:$(B)/%=$(B)/tests/fuzz/%.o) \
	$(benches:$(B)/bench_%=$(B)/tests/bench/%.o))

have-deps:
	@$(pkg-config) --exists $(PACKAGES) || { \
		echo "missing: $(PACKAGES) (some of these); make deps brings them" >&2; exit 1; }

deps:
	@deploy/deps build test
have-test-deps:
	@deploy/deps --check build test 2>/dev/null || deploy/deps build test
have-lint-deps:
	@deploy/deps --check build lint 2>/dev/null || deploy/deps build lint

# The packages' flags are read when make starts, so what may have fetched them starts another make.
test: have-test-deps
	@$(MAKE) WERROR=1 built-test
test-programs: all $(test_programs)
built-test: test-programs
	SLUICE=$(B)/sluice VARIANT=$(VARIANT) tests/run
demo: have-test-deps
	@$(MAKE) built-demo
built-demo: all $(B)/demo_shop
	SLUICE=$(B)/sluice tests/demo/run
# a cache kept right by MariaDB's binlog: Debezium, Kafka
demo-cdc: have-test-deps
	@$(MAKE) built-demo-cdc
built-demo-cdc: all $(kafka_tool)
	SLUICE=$(B)/sluice tests/demo/cdc
lint: have-lint-deps
	@$(MAKE) WERROR=1 test-programs
	SLUICE=$(B)/sluice tests/lint/run

# Every unit test program; all run, the first failure is remembered.
unit: $(units)
	@status=0; for program in $(units); do $(unit_under) $$program || status=1; done; exit $$status
sim: $(sim)
	$(B)/sim $(N)
	$(B)/sim_refresh $(N)

asan:
	@$(MAKE) VARIANT=asan test
tsan: have-test-deps
	@$(MAKE) VARIANT=tsan WERROR=1 unit sim
valgrind: have-test-deps have-lint-deps
	@$(MAKE) unit unit_under='valgrind -q --leak-check=full --error-exitcode=1'
cover: have-test-deps have-lint-deps
	@$(MAKE) VARIANT=cover test
	gcovr --root . --filter common/ --filter config/ --filter worker/ build/cover

FUZZ_SECONDS ?= 60
fuzz: have-lint-deps
	@$(MAKE) VARIANT=fuzz CC=clang-19 built-fuzz
built-fuzz: $(fuzzers)
	@for fuzzer in $(fuzzers); do \
		name=$${fuzzer##*/fuzz_}; found=$(B)/corpus/$$name; mkdir -p $$found; \
		seeds=tests/fuzz/corpus/$$name; [ -d $$seeds ] || seeds=; \
		$$fuzzer -max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 -verbosity=1 \
			-artifact_prefix=$(B)/ $$found $$seeds || exit 1; done

bench: have-test-deps
	@$(MAKE) built-bench
built-bench: all $(benches) $(kafka_tool)
	SLUICE=$(B)/sluice tests/bench/run
# refresh ahead under a Zipf load of 100,000 keys with a TTL of 10 s, on against off
zipf: have-test-deps
	@$(MAKE) all
	ZIPF_KEYS=100000 ZIPF_TTL=10 ZIPF_SECONDS=60 ZIPF_READS=2000 SLUICE=$(B)/sluice tests/run integration zipf a_slow_database
chaos: have-test-deps
	@$(MAKE) all
	SLUICE=$(B)/sluice tests/chaos/run
matrix: have-test-deps
	@$(MAKE) all
	SLUICE=$(B)/sluice tests/matrix/run
mutants: have-test-deps
	@$(MAKE) all
	tests/mutants/run

bindir = $(DESTDIR)$(PREFIX)/bin
docdir = $(DESTDIR)$(PREFIX)/share/doc/sluice
mandir = $(DESTDIR)$(PREFIX)/share/man/man1
install: all
	install -d $(bindir) $(docdir)
	install -m 755 $(B)/sluice $(bindir)/sluice
	install -m 644 config/sluice.example.yaml $(docdir)/sluice.example.yaml
	if [ -e deploy/sluice.1 ]; then \
		install -d $(mandir) && install -m 644 deploy/sluice.1 $(mandir)/sluice.1; fi

# build/deps stays: it takes a minute and no source of ours is in it
clean:
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name 'deps*' -exec rm -rf {} +; fi

.PHONY: all have-deps deps have-test-deps have-lint-deps test test-programs built-test demo built-demo demo-cdc \
	built-demo-cdc lint unit sim asan tsan \
	valgrind cover fuzz built-fuzz bench built-bench zipf chaos matrix mutants install clean
.SECONDARY:
.DELETE_ON_ERROR:
