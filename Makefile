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

sources = $(filter-out %_main.c,$(wildcard $(addsuffix /*.c,$(1))))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(call sources,$(1)))
pic     = $(patsubst %.c,$(BUILD)/pic/%.o,$(call sources,$(1)))

API     := $(call objects,api)
COMMON  := $(call objects,server/common)
CONFIG  := $(call objects,server/config)
WORKER  := $(call objects,server/worker server/worker/resources)
APP     := $(call objects,server/app)
STORE   := $(call objects,server/store)
AUDIT   := $(call objects,server/audit)
HTTP    := $(call objects,server/http)
TOOL    := $(call objects,server/tool)
MODULE  := $(call pic,api client-module)

PROGRAMS := $(BUILD)/p11gated $(BUILD)/p11gate-worker $(BUILD)/p11gate
CLIENT   := $(BUILD)/p11gate-client.so

.PHONY: all
all: $(PROGRAMS) $(CLIENT)

LIBS_GATEWAY := -lmicrohttpd -lgnutls -lcrypto -lcyaml -lyaml -lpthread
LIBS_WORKER  := -ljansson -lcrypto -lseccomp -ldl -lpthread
LIBS_TOOL    := -lcyaml -lyaml -lgnutls -lcrypto
LIBS_MODULE  := -lssl -lcrypto -lhttp_parser -linih -lpthread

$(BUILD)/p11gated: $(BUILD)/obj/server/gateway_main.o $(HTTP) $(AUDIT) $(STORE) $(APP) $(CONFIG) $(COMMON) $(API)
	$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS_GATEWAY)
$(BUILD)/p11gate-worker: $(BUILD)/obj/server/worker/worker_main.o $(WORKER) $(COMMON) $(API)
	$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS_WORKER)
$(BUILD)/p11gate: $(BUILD)/obj/server/tool/tool_main.o $(TOOL) $(CONFIG) $(COMMON) $(API)
	$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS_TOOL)
$(CLIENT): $(MODULE) client-module/exports.map
	$(CC) -shared $(LDFLAGS) -Wl,-z,defs -Wl,-z,nodelete -Wl,--version-script=client-module/exports.map -o $@ $(filter %.o,$^) $(LIBS_MODULE)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIE -MMD -MP -c -o $@ $<
$(BUILD)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

# --- unit tests: one Criterion program per folder under tests/unit, linked with the room it tests ---

UNIT_FOLDERS := $(notdir $(patsubst %/,%,$(wildcard tests/unit/*/)))
UNIT_TESTS   := $(addprefix $(BUILD)/tests/unit-,$(UNIT_FOLDERS))

ROOM_api           = $(API)
ROOM_common        = $(COMMON) $(API)
ROOM_config        = $(CONFIG) $(COMMON) $(API)
ROOM_worker        = $(WORKER) $(COMMON) $(API)
ROOM_app           = $(APP) $(CONFIG) $(COMMON) $(API)
ROOM_audit         = $(AUDIT) $(COMMON) $(API)
ROOM_http          = $(HTTP) $(AUDIT) $(STORE) $(APP) $(CONFIG) $(COMMON) $(API)
ROOM_client-module = $(MODULE)
LIBS_UNIT := -lcriterion $(LIBS_GATEWAY) $(LIBS_WORKER) $(LIBS_MODULE)

.SECONDEXPANSION:
$(BUILD)/tests/unit-%: $$(patsubst $$(PERCENT).c,$(BUILD)/obj/$$(PERCENT).o,$$(wildcard tests/unit/$$*/*.c)) $$(ROOM_$$*) $$(SUPPORT)
	@mkdir -p $(@D)
	$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS_UNIT)
PERCENT := %
SUPPORT := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/support/lib/*.c))

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
