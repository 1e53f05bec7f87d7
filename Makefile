# SPDX-License-Identifier: Apache-2.0
# make [CC=clang-19] [SAN=1] [BUILD=dir] [target]; "make help" lists targets.
#
# Three sets of objects: host (libbrood and brood), shim (inside foreign
# programs: no stack protector, never sanitised) and hatch (no libc at all:
# the starter, and the agent that runs in machines).
# The byte-code engine (src/wasm) is host code for x86-64-v2 whose tables are
# made from src/wasm/operations.tab; its handlers want clang-19.
# Sources are found by their folder, so that a module can be added without
# touching this file.

ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= $(if $(SAN),build/san,build)
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
UNITDIR ?= $(PREFIX)/lib/systemd/system
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
VERSION := 0.1.0
comma := ,

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Werror
# CPPFLAGS, CFLAGS and LDFLAGS, of who packages, are for what runs on a libc.
# That no path of the build is in it holds for all.
MAPPED := $(filter -ffile-prefix-map=%,$(CFLAGS))
COMMON := -std=gnu17 -O2 -g -D_GNU_SOURCE $(WARNINGS) -fvisibility=hidden \
	-MMD -MP -Isrc -Iinclude -Itests -I$(BUILD)/gen $(MAPPED)
SANITISE := $(if $(SAN),-fsanitize=address$(comma)undefined \
	-fno-sanitize-recover=undefined)
HOST := $(COMMON) $(SANITISE) -fPIC $(CPPFLAGS) $(CFLAGS)
SHIM := $(COMMON) -fPIC -fno-stack-protector -U_FORTIFY_SOURCE -DBROOD_SHIM
HATCH := $(COMMON) -fPIE -ffreestanding -fno-stack-protector \
	-U_FORTIFY_SOURCE -fno-asynchronous-unwind-tables \
	-fcf-protection=none -DBROOD_HATCH
# initfirst: the shim is there before any constructor asks it something.
SHIM_LINK := -shared -Wl,-z,now -Wl,-z,initfirst \
	-Wl,-soname,brood-shim.so -Wl,--no-undefined
# Far from where the kernel puts programs, libraries and stacks.
HATCH_LINK := -static -nostdlib -no-pie \
	-Wl,-Ttext-segment=0x100000000000 -Wl,--build-id=none \
	-Wl,-z,norelro -Wl,-z,noseparate-code
# Inside domains: no libc, no system calls, one address (guest/guest.ld).
# Faults may come at any instruction, and what handles them pushes.
GUEST := $(COMMON) -Iguest -fPIE -fno-stack-protector -U_FORTIFY_SOURCE \
	-fno-asynchronous-unwind-tables -fcf-protection=none -mno-red-zone \
	-ffunction-sections -fdata-sections -DBROOD_GUEST
GUEST_LINK := -static -nostdlib $(if $(findstring clang,$(CC)),,-no-pie) -Wl,--build-id=none -Wl,-z,norelro \
	-Wl,-z,max-page-size=4096 -Wl,--no-relax -Wl,-T,guest/guest.ld
AGENT_LINK := -static -nostdlib -no-pie -Wl,--build-id=none -Wl,-z,norelro \
	-Wl,-z,noseparate-code

# On hosts that have nothing of Brood but them: static and small, by musl
# where that is there.
MUSL := $(if $(SAN),,$(shell command -v musl-gcc))
ALONE_CC := $(or $(MUSL),$(CC))
ALONE := -std=gnu17 -Os -g -D_GNU_SOURCE -DBROOD_ALONE $(WARNINGS) -ffunction-sections \
	-fdata-sections -MMD -MP -Isrc -Iinclude -I$(BUILD)/gen $(MAPPED) $(SANITISE) \
	$(if $(MUSL),-idirafter /usr/include \
	-idirafter /usr/include/x86_64-linux-gnu)
# In one piece: each mapping, and each page of one, takes a start its time.
ALONE_LINK := $(if $(SAN),,-static -s -Wl$(comma)-z$(comma)noseparate-code \
	-Wl$(comma)-z$(comma)norelro) -Wl,--gc-sections

# Bundles of images are compressed; who links no bundles needs no libzstd.
ZSTD := -Wl,--as-needed -lzstd

objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(wildcard $(2)))
HANDLERS_MADE := $(addprefix $(BUILD)/gen/wasm/,handlers_hot.h handlers_once.h \
	handler_list.h handler_tables.h)
WASM_MADE := $(BUILD)/gen/wasm/operations.h $(BUILD)/gen/wat/words.h \
	$(HANDLERS_MADE)
WASM_OBJECTS := $(call objects,host,src/wasm/*.c) \
	$(BUILD)/gen/wasm/operations.o
WAT_OBJECTS := $(call objects,host,src/wat/*.c) $(BUILD)/gen/wat/words.o
JIT_OBJECTS := $(call objects,host,src/jit/*.c) $(BUILD)/gen/jit/outs.o \
	$(BUILD)/host/src/jit/enter.o
LIB_OBJECTS := $(call objects,host,src/base/*.c src/bare/*.c src/erofs/*.c src/wasifs/*.c \
	src/launch/*.c \
	src/store/*.c src/image/*.c src/cache/*.c src/aot/*.c src/vm/*.c \
	src/domain/*.c \
	src/machine/*.c src/tree/*.c src/share/*.c src/layout/*.c src/appliance/*.c \
	src/oci/*.c src/agent/frames.c src/lib/*.c) $(WASM_OBJECTS) $(WAT_OBJECTS) \
	$(JIT_OBJECTS) $(BUILD)/host/src/domain/guest_image.o \
	$(BUILD)/host/src/domain/cpu_process_enter.o
CLI_OBJECTS := $(call objects,host,src/cli/*.c)
SHIM_OBJECTS := $(call objects,shim,src/launch/shim/*.c src/bare/*.c)
HATCH_OBJECTS := $(call objects,hatch,src/launch/hatch/*.c src/bare/*.c)
ALONE_OBJECTS := $(call objects,alone,src/base/*.c src/erofs/*.c \
	src/tree/*.c src/share/*.c src/appliance/*.c src/launch/key.c)
AGENT_OBJECTS := $(call objects,hatch,src/agent/*.c src/bare/crc.c \
	src/bare/words.c src/launch/hatch/mem.c)

GUEST_OBJECTS := $(call objects,guest,guest/*.c src/wasm/*.c) \
	$(patsubst %,$(BUILD)/guest/src/%.o,jit/run jit/open jit/out \
	jit/unwind jit/arguments jit/enter cache/code_header erofs/read \
	wasifs/wasifs wasifs/wasifs_fd wasifs/wasifs_path) \
	$(patsubst %.S,$(BUILD)/guest/%.o,$(wildcard guest/*.S)) \
	$(BUILD)/guest/gen/wasm/operations.o $(BUILD)/guest/gen/jit/outs.o

programs = $(patsubst %.c,$(BUILD)/%,$(wildcard $(1)))
UNIT := $(call programs,tests/unit/test_*.c tests/unit/write_*.c)
FUZZ := $(call programs,tests/fuzz/fuzz_*.c) \
	$(BUILD)/tests/fuzz/differential
FAULT := $(call programs,tests/fault/*.c)
CLAIMS := $(call programs,tests/claims/*.c)
SPEC_RUNNER := $(BUILD)/tests/spec/spec
# Tests with the optimiser inside, where LLVM is (LLVM_CONFIG below).
OPTIMISED := $(BUILD)/tests/spec/spec_optimised \
	$(BUILD)/tests/fuzz/optimised
BENCH := $(call programs,bench/*.c)
EXAMPLES := $(call programs,examples/*.c)
TEST_LIBS := $(patsubst %.c,$(BUILD)/%.so,$(wildcard tests/programs/lib*.c))
TEST_PROGRAMS := $(filter-out $(TEST_LIBS:.so=), \
	$(call programs,tests/programs/*.c))
PRODUCTS := $(BUILD)/brood $(BUILD)/brood-shim.so $(BUILD)/brood-hatch \
	$(BUILD)/brood-agent $(BUILD)/brood-start $(BUILD)/brood-installer \
	$(BUILD)/brood-oci \
	$(BUILD)/libbrood.a $(BUILD)/public/libbrood.a $(BUILD)/libbrood.so
# The optimiser is made where LLVM is; without it all else works.
LLVM_CONFIG ?= $(shell command -v llvm-config-19)
AOTC_CLANG ?= $(shell command -v clang-19)
HAVE_AOTC := $(if $(LLVM_CONFIG),$(AOTC_CLANG))
PRODUCTS += $(if $(HAVE_AOTC),$(BUILD)/brood-aotc)
VERBS := serve launch ps top stop refresh wrap unwrap run wasm compile cache \
	image machine app node doctor man completions version

.DELETE_ON_ERROR:
.SECONDARY:
all: $(PRODUCTS) $(UNIT) $(FUZZ) $(FAULT) $(CLAIMS) $(SPEC_RUNNER) \
	$(if $(HAVE_AOTC),$(OPTIMISED)) $(TEST_PROGRAMS) $(BENCH) $(EXAMPLES) ## build everything (the default)
.PHONY: all products handlers units fuzz dist deb check check-san claims bench bench-launch \
	bench-wasm bench-cache bench-layers bench-domain bench-app bench-fleet lint \
	fmt compdb install man tour clean help

# A changed compiler or flag rebuilds all.
STAMP := $(BUILD)/flags
FLAGS := $(subst $(BUILD)/,,$(CC) $(HOST) $(LDFLAGS) / $(SHIM) $(SHIM_LINK) / \
	$(HATCH) $(HATCH_LINK) $(AGENT_LINK) / $(GUEST) $(GUEST_LINK) / \
	$(ALONE_CC) $(ALONE))
ifneq ($(FLAGS),$(file <$(STAMP)))
$(shell mkdir -p $(BUILD))
$(file >$(STAMP),$(FLAGS))
endif

$(BUILD)/host/%.o: %.c $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(HOST) -c $< -o $@

# The byte-code engine.
ENGINE := -march=x86-64-v2 -fno-math-errno
$(BUILD)/host/src/wasm/%.o: src/wasm/%.c $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(HOST) $(ENGINE) -c $< -o $@
# The handlers end in jumps to one another.  clang can be made to keep that
# promise, and has a convention in which nothing needs to be saved; gcc does
# it at -O2, and tools/handlers-check looks whether it did.  WASM_CC=gcc is
# for where there is no clang-19.
# Processors foresee two jumps in 64 bytes better than four: clang's handlers
# begin each 32 bytes.
WASM_CC ?= $(if $(shell command -v clang-19),clang-19,$(CC))
HANDLERS := $(filter-out -g -fsanitize% -fno-sanitize%,$(HOST)) $(ENGINE) -g1 \
	-fno-stack-protector -fcf-protection=none -fno-strict-aliasing \
	$(if $(findstring clang,$(WASM_CC)),-falign-functions=32,-fno-ipa-icf)
GUEST_HANDLERS := $(filter-out -g -fPIC,$(HANDLERS)) $(filter-out -g,$(GUEST)) \
	-g1
# Another build, which HANDLERS_FROM names, lends its own if they are made of
# the same.
HANDLERS_FROM ?=
compile_handlers = tools/handlers-object $(BUILD) "$(HANDLERS_FROM)" $@ \
	$(WASM_CC)
HANDLERS_STAMP := $(BUILD)/handlers
HANDLERS_FLAGS := $(subst $(BUILD)/,,$(WASM_CC) $(HANDLERS) / $(GUEST_HANDLERS))
ifneq ($(HANDLERS_FLAGS),$(file <$(HANDLERS_STAMP)))
$(file >$(HANDLERS_STAMP),$(HANDLERS_FLAGS))
endif
$(HANDLERS_MADE) &: src/wasm/operations.tab src/wasm/exec.c tools/handlers \
		tools/operations
	@mkdir -p $(@D)
	tools/handlers $(BUILD)/gen/wasm src/wasm/exec.c <$<
$(BUILD)/host/src/wasm/exec.o: src/wasm/exec.c $(HANDLERS_STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(compile_handlers) $(HANDLERS) -c $< -o $@
$(BUILD)/gen/wasm/operations.h: src/wasm/operations.tab tools/operations
	@mkdir -p $(@D)
	tools/operations header <$< >$@
$(BUILD)/gen/wasm/operations.c: src/wasm/operations.tab tools/operations \
		$(BUILD)/gen/wasm/operations.h
	@mkdir -p $(@D)
	tools/operations source <$< >$@
$(BUILD)/gen/jit/outs.c: src/wasm/operations.tab tools/outs tools/operations
	@mkdir -p $(@D)
	tools/outs <$< >$@
$(BUILD)/gen/jit/outs.o: $(BUILD)/gen/jit/outs.c $(STAMP) | $(WASM_MADE)
	$(CC) $(HOST) $(ENGINE) -Wno-unused-variable -c $< -o $@
$(BUILD)/host/src/jit/%.o: src/jit/%.c $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(HOST) $(ENGINE) -c $< -o $@
$(BUILD)/host/src/jit/%.o: src/jit/%.S $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(HOST) -c $< -o $@
$(BUILD)/host/src/domain/cpu_process_enter.o: src/domain/cpu_process_enter.S \
		$(STAMP)
	@mkdir -p $(@D)
	$(CC) $(HOST) -c $< -o $@
WORDS := tools/words src/wasm/operations.tab src/wat/words.tab
$(BUILD)/gen/wat/words.h: $(WORDS)
	@mkdir -p $(@D)
	tools/words header $(wordlist 2,3,$(WORDS)) >$@
$(BUILD)/gen/wat/words.c: $(WORDS) $(WASM_MADE)
	@mkdir -p $(@D)
	tools/words source $(wordlist 2,3,$(WORDS)) >$@
# Compiled code is shared among builds of the same sources, and no others.
ENGINE_SOURCES := $(wildcard src/wasm/*.[ch] src/wasm/*.tab src/jit/*.[chS] \
	src/aotc/*.[ch] src/aot/object.c src/aot/join.c src/aot/request.h \
	src/vm/vm_image.c src/vm/vm_pages.c src/vm/vm_snapshot.c \
	src/aotc/*.S src/aotc/*.[ch]pp tools/aot-operations \
	include/brood/code_format.h tools/operations tools/outs)
$(BUILD)/gen/cache/engine_id.h: $(ENGINE_SOURCES) tools/engine-id $(STAMP)
	@mkdir -p $(@D)
	@tools/engine-id "$(if $(SAN),sanitised,plain)" $(ENGINE_SOURCES) >$@
$(BUILD)/host/src/cache/cache_key.o: | $(BUILD)/gen/cache/engine_id.h
# What guests run to show what an accelerator, and what a KVM, is worth.
GUESTS_MADE := $(BUILD)/gen/machine/selftest.inc \
	$(BUILD)/gen/domain/kvm_selftest.inc
$(GUESTS_MADE): $(BUILD)/gen/%.inc: src/%.S $(STAMP)
	@mkdir -p $(@D)
	$(CC) -MMD -MP -MT $@ -Isrc -c $< -o $(@:.inc=.o)
	objcopy -O binary -j .text $(@:.inc=.o) $(@:.inc=.bin)
	od -An -v -tx1 $(@:.inc=.bin) | sed 's/ \(..\)/0x\1,/g' >$@
$(BUILD)/host/src/machine/selftest.o: $(BUILD)/gen/machine/selftest.inc
$(BUILD)/host/src/domain/kvm_selftest.o: $(BUILD)/gen/domain/kvm_selftest.inc
$(BUILD)/bench/domain_floor: $(BUILD)/gen/domain/kvm_selftest.inc
$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(STAMP)
	$(CC) $(HOST) -c $< -o $@
$(BUILD)/shim/%.o: %.c $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(SHIM) -c $< -o $@
$(BUILD)/hatch/%.o: %.c $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(HATCH) -c $< -o $@

$(BUILD)/guest/%.o: %.c $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(GUEST) $(ENGINE) -c $< -o $@
# What the compiler takes for granted must not be made of itself.
$(BUILD)/guest/guest/mem.o: guest/mem.c $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(GUEST) $(ENGINE) -ffreestanding $(if $(findstring clang,$(CC)),, \
		-fno-tree-loop-distribute-patterns) -c $< -o $@
$(BUILD)/guest/src/wasm/exec.o: src/wasm/exec.c $(HANDLERS_STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(compile_handlers) $(GUEST_HANDLERS) -c $< -o $@
$(BUILD)/guest/gen/%.o: $(BUILD)/gen/%.c $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(GUEST) $(ENGINE) -Wno-unused-variable -c $< -o $@
$(BUILD)/guest/%.o: %.S $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(GUEST) -c $< -o $@
$(BUILD)/brood-guest: $(GUEST_OBJECTS) guest/guest.ld
	$(CC) $(GUEST_LINK) -o $@ $(GUEST_OBJECTS)
$(BUILD)/gen/domain/guest.bin: $(BUILD)/brood-guest
	@mkdir -p $(@D)
	objcopy -O binary $< $@
$(BUILD)/gen/domain/guest_hash.inc: $(BUILD)/gen/domain/guest.bin
	sha256sum $< | sed 's/ .*//; s/\(..\)/0x\1,/g' >$@
$(BUILD)/host/src/domain/domain_image.o: $(BUILD)/gen/domain/guest_hash.inc
$(BUILD)/host/src/domain/guest_image.o: src/domain/guest_image.S \
		$(BUILD)/gen/domain/guest.bin
	@mkdir -p $(@D)
	$(CC) -I$(BUILD)/gen -c $< -o $@

$(BUILD)/libbrood.a: $(LIB_OBJECTS)
	@rm -f $@
	ar rcs $@ $^
# For other people's programs: no name in it that is not public.
$(BUILD)/public/libbrood.a: $(LIB_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	$(LD) -r -o $(@D)/libbrood.o $^
	objcopy --localize-hidden $(@D)/libbrood.o
	ar rcs $@ $(@D)/libbrood.o
$(BUILD)/libbrood.so: $(LIB_OBJECTS) src/lib/libbrood.map
	$(CC) $(SANITISE) $(LDFLAGS) -shared -Wl,-soname,libbrood.so.0 \
		-Wl,--version-script=src/lib/libbrood.map -o $@ \
		$(LIB_OBJECTS) $(ZSTD)
# Static: the dynamic linker would be half of the start of a small module.
$(BUILD)/brood: $(CLI_OBJECTS) $(BUILD)/libbrood.a
	$(CC) $(or $(SANITISE),-static-pie) $(LDFLAGS) -o $@ $^ $(ZSTD)
$(BUILD)/brood-oci: $(BUILD)/host/src/oci/program/main.o $(BUILD)/libbrood.a
	$(CC) $(or $(SANITISE),-static-pie) $(LDFLAGS) -o $@ $^ $(ZSTD)
# The operations, in bitcode of the one definition (tools/aot-operations).
AOTC_GEN := $(BUILD)/gen/aotc
$(AOTC_GEN)/operations_ir.c: src/wasm/operations.tab tools/aot-operations \
		tools/operations tools/outs
	@mkdir -p $(@D)
	tools/aot-operations ir <$< >$@
$(AOTC_GEN)/operations.c: src/wasm/operations.tab tools/aot-operations \
		tools/operations tools/outs
	@mkdir -p $(@D)
	tools/aot-operations table <$< >$@
$(AOTC_GEN)/operations.bc: $(AOTC_GEN)/operations_ir.c $(STAMP) \
		src/wasm/arith.h src/wasm/simd.h src/wasm/atomic.h
	$(AOTC_CLANG) -std=gnu17 -O2 -D_GNU_SOURCE $(ENGINE) -ffp-contract=off \
		-fno-strict-aliasing -fno-stack-protector -Isrc -Iinclude \
		-emit-llvm -c $< -o $@
$(BUILD)/host/src/aotc/bitcode.o: src/aotc/bitcode.S $(AOTC_GEN)/operations.bc
	@mkdir -p $(@D)
	$(CC) -I$(BUILD)/gen -c $< -o $@
$(BUILD)/host/src/aotc/%.o: src/aotc/%.c $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(HOST) $(ENGINE) -isystem $(shell $(LLVM_CONFIG) --includedir) \
		-c $< -o $@
# C++ is the only language in which LLVM tells what it knows of loops.
AOTC_CXX := $(if $(findstring clang,$(CC)),$(subst clang,clang++,$(CC)),g++)
$(BUILD)/host/src/aotc/%.o: src/aotc/%.cpp $(STAMP)
	@mkdir -p $(@D)
	$(AOTC_CXX) -std=c++17 -O2 -g1 -Wall -Wextra -Wshadow -Werror \
		-fno-exceptions -fno-rtti -fvisibility=hidden \
		-fvisibility-inlines-hidden $(SANITISE) -fPIC -MMD -MP \
		-D_GNU_SOURCE -Isrc -Iinclude $(MAPPED) \
		-isystem $(shell $(LLVM_CONFIG) --includedir) -c $< -o $@
AOTC_LOOPS := $(patsubst %.cpp,$(BUILD)/host/%.o,$(wildcard src/aotc/*.cpp))
AOTC_OBJECTS := $(call objects,host,src/aotc/*.c) $(AOTC_GEN)/operations.o \
	$(BUILD)/host/src/aotc/bitcode.o $(AOTC_LOOPS)
AOTC_LIBS = $(shell $(LLVM_CONFIG) --ldflags) -lLLVM-19 -lstdc++
$(BUILD)/brood-aotc: $(AOTC_OBJECTS) $(BUILD)/libbrood.a
	$(CC) $(SANITISE) $(LDFLAGS) -o $@ $^ $(AOTC_LIBS) $(ZSTD)
# In tests: all of it but its main function.
AOTC_INSIDE := $(BUILD)/host/tests/optimise/optimise.o \
	$(filter-out %/aotc/main.o,$(AOTC_OBJECTS))
$(BUILD)/host/tests/optimise/optimise.o: tests/optimise/optimise.c $(STAMP) \
		| $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(HOST) -isystem $(shell $(LLVM_CONFIG) --includedir) -c $< -o $@
$(BUILD)/brood-shim.so: $(SHIM_OBJECTS)
	$(CC) $(SHIM_LINK) -o $@ $^ -ldl
$(BUILD)/brood-hatch: $(HATCH_OBJECTS)
	$(CC) $(HATCH_LINK) -o $@ $^
$(BUILD)/alone/%.o: %.c $(STAMP)
	@mkdir -p $(@D)
	$(ALONE_CC) $(ALONE) -c $< -o $@
$(BUILD)/alone.a: $(ALONE_OBJECTS)
	@rm -f $@
	ar rcs $@ $^
$(BUILD)/brood-start: $(call objects,alone,src/appliance/start/*.c)
$(BUILD)/brood-installer: $(BUILD)/alone/src/appliance/installer/main.o
$(BUILD)/brood-start $(BUILD)/brood-installer: $(BUILD)/alone.a
	$(ALONE_CC) $(SANITISE) $(ALONE_LINK) -o $@ $(filter %.o,$^) \
		$(filter %.a,$^)
$(BUILD)/brood-agent: $(AGENT_OBJECTS)
	$(CC) $(AGENT_LINK) -o $@ $^

# Tests of the engine include what it is made of.
$(BUILD)/tests/unit/test_wasm_%: UNIT_FLAGS := $(ENGINE)
$(BUILD)/tests/unit/test_jit_%: UNIT_FLAGS := $(ENGINE)
ifneq ($(HAVE_AOTC),)
AOTC_TESTS := $(addprefix $(BUILD)/tests/unit/,test_aotc test_aotc_loops)
$(AOTC_TESTS): $(AOTC_INSIDE)
$(AOTC_TESTS): UNIT_FLAGS = -DHAVE_AOTC \
	-isystem $(shell $(LLVM_CONFIG) --includedir)
$(AOTC_TESTS): UNIT_OBJECTS = $(AOTC_INSIDE) $(AOTC_LIBS)
endif
$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/libbrood.a $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(HOST) $(UNIT_FLAGS) -o $@ $< $(UNIT_OBJECTS) $(BUILD)/libbrood.a $(ZSTD) -lpthread
$(FAULT): $(BUILD)/%: %.c $(BUILD)/libbrood.a $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(HOST) -o $@ $< $(BUILD)/libbrood.a $(ZSTD)
$(CLAIMS): $(BUILD)/%: %.c $(BUILD)/libbrood.a $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(HOST) -o $@ $< $(BUILD)/libbrood.a $(ZSTD) -lpthread
$(SPEC_RUNNER): $(wildcard tests/spec/*.c) $(BUILD)/libbrood.a $(STAMP) \
		$(wildcard tests/spec/*.h)
	@mkdir -p $(@D)
	$(CC) $(HOST) -o $@ $(filter %.c,$^) $(BUILD)/libbrood.a $(ZSTD) \
		-lpthread
$(BUILD)/tests/spec/spec_optimised: $(wildcard tests/spec/*.c) $(AOTC_INSIDE) \
		$(BUILD)/libbrood.a $(STAMP) $(wildcard tests/spec/*.h)
	@mkdir -p $(@D)
	$(CC) $(HOST) -DSPEC_OPTIMISED -o $@ $(filter %.c %.o,$^) \
		$(BUILD)/libbrood.a $(AOTC_LIBS) $(ZSTD) -lpthread
$(BUILD)/tests/fuzz/driver.o: tests/fuzz/driver.c $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(HOST) -c -o $@ $<
# The generator of modules, for several tests.
$(BUILD)/tests/fuzz/made/%.o: tests/fuzz/%.c $(STAMP) | $(WASM_MADE)
	@mkdir -p $(@D)
	$(CC) $(HOST) -c -o $@ $<
GENERATOR := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/made/%.o, \
	$(wildcard tests/fuzz/generate*.c tests/fuzz/play*.c))
$(BUILD)/tests/unit/test_snapshot: $(GENERATOR)
$(BUILD)/tests/unit/test_snapshot: UNIT_OBJECTS := $(GENERATOR)
$(BUILD)/tests/fuzz/fuzz_wasm_generated: $(GENERATOR)
$(BUILD)/tests/fuzz/fuzz_wasm_generated: FUZZ_OBJECTS := $(GENERATOR)
$(BUILD)/tests/fuzz/differential: tests/fuzz/differential.c $(GENERATOR) \
		$(BUILD)/libbrood.a $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(HOST) -o $@ $< $(GENERATOR) $(BUILD)/libbrood.a
$(BUILD)/tests/fuzz/optimised: tests/fuzz/optimised.c $(GENERATOR) \
		$(AOTC_INSIDE) $(BUILD)/libbrood.a $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(HOST) -o $@ $(filter %.c %.o,$^) $(BUILD)/libbrood.a \
		$(AOTC_LIBS) $(ZSTD) -lpthread
$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(BUILD)/tests/fuzz/driver.o \
		$(BUILD)/libbrood.a $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(HOST) -o $@ $< $(BUILD)/tests/fuzz/driver.o $(FUZZ_OBJECTS) \
		$(BUILD)/libbrood.a $(ZSTD)
# Test programs are what users have: plain, not sanitised.  A line with
# "link: NAME" or "flags: ..." in a source adds to the command.
told = $(shell sed -n 's:^.* $(1)\: *\([^*]*\).*$$:\1:p' $(2))
$(BUILD)/tests/programs/lib%.so: tests/programs/lib%.c $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(COMMON) -fPIC -shared -o $@ $<
$(BUILD)/tests/programs/%: tests/programs/%.c $(TEST_LIBS) $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(COMMON) $(call told,flags,$<) -o $@ $< -L$(@D) \
		-Wl,-rpath,'$$ORIGIN' \
		$(addprefix -l,$(call told,link,$<)) -lpthread -ldl
# Runs in guests with no library in them.
$(BUILD)/tests/programs/lock_worker: tests/programs/lock_worker.c \
		$(BUILD)/alone.a $(STAMP)
	@mkdir -p $(@D)
	$(ALONE_CC) $(ALONE) $(ALONE_LINK) -o $@ $< $(BUILD)/alone.a
$(BUILD)/bench/compile_speed: $(BUILD)/libbrood.a
$(BUILD)/bench/compile_speed: BENCH_FLAGS := $(SANITISE) -lpthread
$(BUILD)/bench/domain_us $(BUILD)/bench/lock_us: $(BUILD)/libbrood.a
$(BUILD)/bench/domain_us $(BUILD)/bench/lock_us: \
	BENCH_FLAGS := $(SANITISE) $(ZSTD) -lpthread
$(BUILD)/bench/%: bench/%.c $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(COMMON) $(call told,flags,$<) -o $@ $< $(filter %.a,$^) \
		$(BENCH_FLAGS)
$(BUILD)/examples/%: examples/%.c $(BUILD)/libbrood.a $(STAMP)
	@mkdir -p $(@D)
	$(CC) $(COMMON) $(SANITISE) -o $@ $< $(BUILD)/libbrood.a

check: ## install what is missing, build, run all tests
	@tools/install-needs
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/run
check-san: ## the tests under address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory SAN=1 all
	@BUILD=build/san tests/run
claims: all ## the elements of the claims, from /proc
	@BUILD=$(BUILD) VERBOSE=1 tests/run claims
bench: bench-launch bench-wasm bench-cache bench-layers bench-domain \
	bench-app bench-fleet ## all benchmarks
bench-launch: all ## warm starts against plain exec
	@BUILD=$(BUILD) bench/launch.sh
bench-wasm: all ## the byte-code engine against others
	@BUILD=$(BUILD) bench/wasm.sh
bench-cache: all ## compiled code and its cache against their goals
	@BUILD=$(BUILD) bench/cache.sh
bench-layers: all ## machines from layers against boots and other restores
	@BUILD=$(BUILD) bench/layers.sh
bench-domain: all ## byte code in micro-VMs against bare KVM and other engines
	@BUILD=$(BUILD) bench/domain.sh
bench-app: all ## applications from a share against copies, mounts and others
	@BUILD=$(BUILD) bench/app.sh
bench-fleet: all ## modules in containers beside runc's, under engines
	@BUILD=$(BUILD) bench/fleet.sh
tour: ## install what is missing, build, show cold against warm
	@tools/install-needs
	@[ -e $(BUILD)/brood ] || echo "Building; the first time it takes minutes."
	@$(MAKE) --no-print-directory -s all
	@BUILD=$(BUILD) tools/tour
lint: ## layers, claims, format, headers, scripts
	@CC=$(CC) tools/lint
fmt: ## format all sources
	@git ls-files -co --exclude-standard '*.c' '*.h' | \
		xargs clang-format-19 -i
compdb: ## compile_commands.json
	@$(MAKE) -Bnk all | awk -v dir="$(CURDIR)" -f tools/compdb.awk \
		>compile_commands.json
man: $(BUILD)/brood $(BUILD)/brood-oci ## man pages and completions
	@mkdir -p $(BUILD)/man
	@$(BUILD)/brood man >$(BUILD)/man/brood.1
	@for v in $(VERBS); do $(BUILD)/brood man $$v \
		>$(BUILD)/man/brood-$$v.1 || exit 1; done
	@for s in bash zsh fish; do $(BUILD)/brood completions $$s \
		>$(BUILD)/brood.$$s || exit 1; done
	@$(BUILD)/brood-oci --man >$(BUILD)/man/brood-oci.8
products: $(PRODUCTS) man ## what is installed, and no tests
# A third of all work, in two pieces: who makes them before the rest waits for
# none of them at the end.
handlers: $(BUILD)/host/src/wasm/exec.o $(BUILD)/guest/src/wasm/exec.o
units: $(UNIT) $(TEST_PROGRAMS)
fuzz: $(FUZZ)
SHARE = $(DESTDIR)$(PREFIX)/share
# Units name the program by its path; in the tree it is looked for.
UNITS := /usr/bin/env brood,$(PREFIX)/bin/brood
install: products ## into DESTDIR and PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/brood \
		$(DESTDIR)$(LIBDIR)/pkgconfig \
		$(DESTDIR)$(PREFIX)/include/brood \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d \
		$(DESTDIR)$(PREFIX)/lib/tmpfiles.d \
		$(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/lib/systemd/user \
		$(SHARE)/man/man1 $(SHARE)/man/man8 $(DESTDIR)$(ZSHDIR) \
		$(SHARE)/bash-completion/completions \
		$(SHARE)/fish/vendor_completions.d
	install $(BUILD)/brood $(BUILD)/brood-oci $(DESTDIR)$(PREFIX)/bin/
	install $(BUILD)/brood-hatch $(BUILD)/brood-agent \
		$(BUILD)/brood-start $(BUILD)/brood-installer \
		$(wildcard $(BUILD)/brood-aotc) $(DESTDIR)$(PREFIX)/lib/brood/
	install -m 644 $(BUILD)/brood-shim.so $(DESTDIR)$(PREFIX)/lib/brood/
	install -m 644 $(BUILD)/public/libbrood.a $(DESTDIR)$(LIBDIR)/
	install -m 644 $(BUILD)/libbrood.so $(DESTDIR)$(LIBDIR)/libbrood.so.0
	ln -sf libbrood.so.0 $(DESTDIR)$(LIBDIR)/libbrood.so
	install -m 644 include/brood/*.h $(DESTDIR)$(PREFIX)/include/brood/
	install -m 644 include/wasm.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/man/*.1 $(SHARE)/man/man1/
	install -m 644 $(BUILD)/man/*.8 $(SHARE)/man/man8/
	install -m 644 $(BUILD)/brood.bash \
		$(SHARE)/bash-completion/completions/brood
	install -m 644 $(BUILD)/brood.zsh $(DESTDIR)$(ZSHDIR)/_brood
	install -m 644 $(BUILD)/brood.fish $(SHARE)/fish/vendor_completions.d/
	for unit in packaging/*.socket packaging/*.service packaging/*.timer; do \
		case $$unit in \
		*@*) to=$(DESTDIR)$(PREFIX)/lib/systemd/user ;; \
		*) to=$(DESTDIR)$(UNITDIR) ;; \
		esac; \
		sed 's,$(UNITS),' $$unit >$$to/$${unit##*/} || exit 1; \
	done
	install -m 644 packaging/brood.sysusers \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/brood.conf
	install -m 644 packaging/brood.tmpfiles \
		$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/brood.conf
	sed -e 's,@PREFIX@,$(PREFIX),;s,@VERSION@,$(VERSION),' \
		-e 's,@LIBDIR@,$(LIBDIR:$(PREFIX)/%=$${prefix}/%),' \
		packaging/brood.pc.in \
		>$(DESTDIR)$(LIBDIR)/pkgconfig/brood.pc
dist: ## the sources as a tar, the same wherever it is made
	@tools/dist $(VERSION) $(BUILD)/brood-$(VERSION).tar.xz
deb: dist ## the Debian packages, of that tar, into BUILD/deb
	@tools/deb $(VERSION) $(BUILD)/brood-$(VERSION).tar.xz $(BUILD)/deb
clean: ## remove what was built
	rm -rf build compile_commands.json
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18

# Not of other builds, which may have their folder in this one, and be at work.
-include $(shell find $(addprefix $(BUILD)/,host guest shim hatch alone gen \
	tests bench examples) -type f -name '*.d' 2>/dev/null)
