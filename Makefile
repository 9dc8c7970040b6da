# p11gate. `make help` lists what can be made.
#
# Sources are found by folder: a new .c file needs no line here.

BUILD ?= build
CC ?= gcc
PKG_CONFIG ?= pkg-config
VERSION := $(shell sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG.md 2>/dev/null | head -n 1)

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wundef -Werror
HARDENING := -fstack-protector-strong -ftrivial-auto-var-init=zero -fstack-clash-protection -fcf-protection
ifeq ($(SANITIZE),)
HARDENING += -D_FORTIFY_SOURCE=3
else
SANITIZERS := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
endif
OPTIMISE ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -DP11GATE_VERSION='"$(or $(VERSION),0.0.0)"' -I. \
	-isystem /usr/include/nss -isystem /usr/include/nspr
CFLAGS += -std=c11 $(OPTIMISE) $(WARNINGS) $(HARDENING) $(SANITIZERS)
LDFLAGS += -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZERS)

# `make V=1` shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

sources = $(filter-out %_main.c,$(wildcard $(addsuffix /*.c,$(1))))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(call sources,$(1)))
pic     = $(patsubst %.c,$(BUILD)/pic/%.o,$(call sources,$(1)))

API     := $(call objects,api)
COMMON  := $(call objects,server/common)
CONFIG  := $(call objects,server/config)
WORKER  := $(call objects,server/worker server/worker/resources)
APP     := $(call objects,server/app)
AUDIT   := $(call objects,server/audit)
STORE   := $(call objects,server/store)
HTTP    := $(call objects,server/http)
TOOL    := $(call objects,server/tool)
MODULE  := $(call pic,api client-module)

PROGRAMS := $(BUILD)/p11gated $(BUILD)/p11gate-worker $(BUILD)/p11gate
CLIENT   := $(BUILD)/p11gate-client.so

.PHONY: all
all: $(PROGRAMS) $(CLIENT)

.PHONY: help
help:
	@sed -n 's/^## //p' Makefile

## make               build the gateway, the worker, the tool and the client module into build/
## make demo          try it: a SoftHSM token behind a gateway on 127.0.0.1:8443 and two first signatures
## make demo-stop     end the demo's gateway
## make check         install what is missing and run all tests
## make sandbox DIR=d [PORT=0] [TOKEN=label] [PIN=…] [SO_PIN=…]   a private gateway for tests; make sandbox-stop DIR=d
## make lint          layout, clang-tidy, cppcheck, who may include whom, banned functions; make lint-selftest
## make asan          the unit and integration tests with AddressSanitizer and UBSan
## make fuzz [TARGET=name] [SECONDS=60]   run the fuzz targets over the kept corpus
## make bench         latency and throughput as ratios to the vendor module in the same run
## make openapi       write api/openapi.json from the tables
## make docker-test   build the image and run the compose file with a private engine
## make acceptance    the long tests
## make deps          install the packages that building and testing need; make deps-report says who links what

.PHONY: deps
deps:
	@config/deps.sh build test demo

LIBS_GATEWAY := -lmicrohttpd -lgnutls -lcrypto -lyaml -lsqlite3 -lpthread
LIBS_WORKER  := -ljansson -lcrypto -lseccomp -ldl -lpthread
LIBS_TOOL    := -lyaml -lgnutls -lcrypto
LIBS_MODULE  := -lssl -lcrypto -lhttp_parser -linih -lpthread

$(BUILD)/p11gated: $(BUILD)/obj/server/gateway_main.o $(BUILD)/obj/openapi_json.o $(HTTP) $(STORE) $(AUDIT) $(APP) $(CONFIG) $(COMMON) $(API)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS_GATEWAY)
$(BUILD)/p11gate-worker: $(BUILD)/obj/server/worker/worker_main.o $(WORKER) $(COMMON) $(API)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS_WORKER)
$(BUILD)/p11gate: $(BUILD)/obj/server/tool/tool_main.o $(TOOL) $(CONFIG) $(COMMON) $(API)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS_TOOL)
$(CLIENT): $(MODULE) client-module/exports.map
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(LDFLAGS) -Wl,-z,defs -Wl,-z,nodelete -Wl,--version-script=client-module/exports.map -o $@ $(filter %.o,$^) $(LIBS_MODULE)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIE -MMD -MP -c -o $@ $<
$(BUILD)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

# --- unit tests: one Criterion program per folder under tests/unit, linked with the room it tests ---

UNIT_FOLDERS := $(notdir $(patsubst %/,%,$(wildcard tests/unit/*/)))
UNIT_TESTS   := $(addprefix $(BUILD)/tests/unit-,$(UNIT_FOLDERS))

ROOM_api           = $(API)
ROOM_common        = $(COMMON) $(API)
ROOM_config        = $(CONFIG) $(COMMON) $(API)
ROOM_worker        = $(WORKER) $(STORE) $(COMMON) $(API)
ROOM_app           = $(APP) $(CONFIG) $(COMMON) $(API)
ROOM_audit         = $(AUDIT) $(COMMON) $(API)
ROOM_store         = $(STORE) $(COMMON) $(API)
ROOM_tool          = $(TOOL) $(CONFIG) $(COMMON) $(API)
ROOM_http          = $(BUILD)/obj/openapi_json.o $(HTTP) $(STORE) $(AUDIT) $(APP) $(CONFIG) $(COMMON) $(API)
ROOM_client-module = $(MODULE)
LIBS_UNIT := -lcriterion $(LIBS_GATEWAY) $(LIBS_WORKER) $(LIBS_MODULE)

# Objects of tests are kept: a change to one file then compiles that file.
.SECONDARY:
.SECONDEXPANSION:
$(BUILD)/tests/unit-%: $$(patsubst $$(PERCENT).c,$(BUILD)/obj/$$(PERCENT).o,$$(wildcard tests/unit/$$*/*.c)) $$(ROOM_$$*) $$(SUPPORT)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS_UNIT)
PERCENT := %
SUPPORT := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/support/lib/*.c))

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)


# --- integration tests and parity: they start the built programs ---

INTEGRATION := $(BUILD)/tests/integration
PARITY := $(BUILD)/tests/parity

$(INTEGRATION): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/integration/*.c)) $(SUPPORT) $(API) $(COMMON)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ -lcriterion -lcurl -lssl -lcrypto -ljansson -ldl -lpthread
$(PARITY): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/conformance/*.c)) $(API)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ -lcrypto -ldl -lpthread

# Modules and programs that tests load or start: tests/support/modules/NAME.c → NAME.so, tests/support/mock/ → mock_module.so,
# tests/support/NAME_main.c → NAME.
TEST_MODULES  := $(patsubst tests/support/modules/%.c,$(BUILD)/tests/%.so,$(wildcard tests/support/modules/*.c)) $(BUILD)/tests/mock_module.so
TEST_PROGRAMS := $(patsubst tests/support/%_main.c,$(BUILD)/tests/%,$(wildcard tests/support/*_main.c))
$(BUILD)/tests/%.so: tests/support/modules/%.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared $(LDFLAGS) -o $@ $<
$(BUILD)/tests/mock_module.so: $(call pic,tests/support/mock api)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(LDFLAGS) -Wl,-z,defs -o $@ $^ -lcrypto -lpthread
$(BUILD)/tests/sequence: $(BUILD)/obj/tests/support/lib/sequence.o
$(BUILD)/tests/test_worker: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/support/test_worker/*.c))
$(TEST_PROGRAMS): $(BUILD)/tests/%: $(BUILD)/obj/tests/support/%_main.o $(COMMON) $(API)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ -ljansson -lssl -lcrypto -ldl -lpthread

.PHONY: tests
tests: all $(UNIT_TESTS) $(INTEGRATION) $(PARITY) $(TEST_MODULES) $(TEST_PROGRAMS)

.PHONY: check
check: deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD) tests
	@BUILD=$(BUILD) tests/run.sh

.PHONY: asan
asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-asan SANITIZE=address,undefined OPTIMISE='-O1 -g1' tests
	@BUILD=$(BUILD)-asan tests/run.sh unit integration

# --- the document of the REST API, from the tables ---

$(BUILD)/openapi: $(BUILD)/obj/api/openapi_main.o $(call objects,api/openapi) $(API)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^
$(BUILD)/openapi.json: $(BUILD)/openapi
	$< > $@
$(BUILD)/openapi_json.c: $(BUILD)/openapi.json
	{ printf '#include "server/http/openapi.h"\n\nconst unsigned char openapi_json[] = {\n'; \
	  od -An -v -tu1 $< | sed 's/  */,/g; s/^,//; s/$$/,/'; \
	  printf '};\nconst size_t openapi_json_len = sizeof(openapi_json);\n'; } > $@
$(BUILD)/obj/openapi_json.o: $(BUILD)/openapi_json.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIE -c -o $@ $<

.PHONY: openapi openapi-check
openapi: $(BUILD)/openapi.json
	cp $< api/openapi.json
openapi-check: $(BUILD)/openapi.json
	@diff -u api/openapi.json $< || { echo "api/openapi.json is not what the tables say; run make openapi and commit it"; exit 1; }

# --- lint ---

LINT_FLAGS := -std=c11 -D_GNU_SOURCE -DP11GATE_VERSION=\"0\" -I. -isystem /usr/include/nss -isystem /usr/include/nspr
C_FILES := $(shell git ls-files '*.c' '*.h' 2>/dev/null)
C_SOURCES := $(filter %.c,$(C_FILES))
.PHONY: lint lint-selftest format
format:
	clang-format -i $(C_FILES)
lint:
	@clang-format --dry-run -Werror $(C_FILES)
	@tests/lint/floors.sh
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --suppressions-list=tests/lint/cppcheck.txt -j 2 \
		--enable=warning,portability -D_GNU_SOURCE -DP11GATE_VERSION=\"0\" -I. $(filter-out tests/%,$(C_SOURCES))
	@printf '%s\n' $(filter-out tests/%,$(C_SOURCES)) | xargs -P 2 -n 6 sh -c 'clang-tidy --quiet "$$@" -- $(LINT_FLAGS)' clang-tidy 2>&1 \
		| { ! grep -E -A 4 '(warning|error):' ; }
	@shellcheck $$(git ls-files '*.sh' .ci/run)
	@echo "lint: nothing found"
lint-selftest:
	@tests/lint/selftest.sh

# --- fuzzing: clang's libFuzzer over tests/fuzz/NAME_fuzz.c, corpora kept in tests/fuzz/corpus/NAME ---

FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_FLAGS := -std=c11 -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FUZZ_ROOM  := $(call sources,api) $(wildcard client-module/http.c server/common/frame.c server/common/message.c \
	server/common/clock.c server/common/escape.c server/common/pkcs11_uri.c server/config/*.c server/http/gate.c server/worker/reply.c \
	$(addprefix server/worker/resources/,body.c parameters.c accept.c ecdsa.c))
FUZZ_OBJECTS := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(FUZZ_ROOM))
$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)clang $(CPPFLAGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<
$(addprefix $(BUILD)/fuzz/,$(FUZZ_NAMES)): $(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%_fuzz.o $(FUZZ_OBJECTS)
	$(call say,LD,$@)
	$(Q)clang -fsanitize=fuzzer,address,undefined -o $@ $^ -ljansson -lhttp_parser -lyaml -lcrypto
# The configurations of today join the kept ones: the documented one, the same with every key in force, and docker's.
FUZZ_SEEDS := $(BUILD)/fuzz/seeds
$(FUZZ_SEEDS)/config: config/p11gated.yaml docker/p11gated.yaml
	@mkdir -p $@
	$(Q)cp config/p11gated.yaml $@/sample
	$(Q)sed -E 's/#(  |[^ ])/\1/' config/p11gated.yaml > $@/all
	$(Q)cp docker/p11gated.yaml $@/docker
	@touch $@
TARGET ?= $(FUZZ_NAMES)
SECONDS ?= 60
.PHONY: fuzz $(addprefix fuzz-,$(FUZZ_NAMES))
fuzz: $(addprefix fuzz-,$(TARGET))
# A goal for each target: make -j runs several at a time.
$(addprefix fuzz-,$(FUZZ_NAMES)): fuzz-%: $(BUILD)/fuzz/% $(FUZZ_SEEDS)/config
	@mkdir -p $(BUILD)/fuzz/found/$* $(FUZZ_SEEDS)/$*
	$(Q)$(BUILD)/fuzz/$* -max_total_time=$(SECONDS) -max_len=1048576 -len_control=200 -timeout=10 -print_final_stats=1 \
		-artifact_prefix=$(BUILD)/fuzz/found/$*- $(BUILD)/fuzz/found/$* $(FUZZ_SEEDS)/$* tests/fuzz/corpus/$*

# --- trying it out ---

PORT ?= 8443
.PHONY: demo demo-stop sandbox sandbox-stop
demo:
	@BUILD=$(BUILD) PORT=$(PORT) config/demo.sh start
demo-stop:
	@BUILD=$(BUILD) config/demo.sh stop
sandbox: all
	@BUILD=$(BUILD) PORT=$(if $(filter file,$(origin PORT)),0,$(PORT)) TOKEN='$(TOKEN)' PIN='$(PIN)' SO_PIN='$(SO_PIN)' config/sandbox.sh start '$(DIR)'
sandbox-stop:
	@config/sandbox.sh stop '$(DIR)'

.PHONY: docker-test acceptance bench deps-report clean
docker-test:
	@tests/docker/run.sh
acceptance:
	@BUILD=$(BUILD) tests/acceptance.sh
bench: all $(BUILD)/tests/bench
	@BUILD=$(BUILD) tests/bench/run.sh
$(BUILD)/tests/bench: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/bench/*.c)) $(API)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ -lssl -lcrypto -ldl -lpthread -lm
deps-report: all
	@config/deps-report.sh $(PROGRAMS) $(CLIENT)
clean:
	rm -rf $(BUILD) $(BUILD)-asan

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
