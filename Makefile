# SPDX-License-Identifier: Apache-2.0
SAN ?=
BUILD ?= $(if $(SAN),build/san,build)
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
BASE := -std=gnu17 -O2 -g -D_GNU_SOURCE $(WARN) -fvisibility=hidden -MMD -MP -Isrc -Iinclude -Itests
SANF := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined)
comma := ,
LIBC := $(wildcard src/base/*.c src/bare/*.c src/launch/*.c src/lib/*.c)
CLI := $(wildcard src/cli/*.c)
SHIM := $(wildcard src/launch/shim/*.c src/bare/*.c)
HATCH := $(wildcard src/launch/hatch/*.c src/launch/hatch/*.S src/bare/*.c)
obj = $(addprefix $(BUILD)/$(1)/,$(addsuffix .o,$(basename $(2))))
UNIT := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
PROG := $(patsubst tests/programs/%.c,$(BUILD)/tests/programs/%,$(filter-out tests/programs/lib%,$(wildcard tests/programs/*.c)))
PLIB := $(patsubst tests/programs/%.c,$(BUILD)/tests/programs/%.so,$(wildcard tests/programs/lib*.c))
BENCH := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
FUZZ := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
all: $(BUILD)/brood $(BUILD)/brood-shim.so $(BUILD)/brood-hatch $(UNIT) $(PROG) $(BENCH) $(FUZZ)
$(BUILD)/host/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(SANF) -fPIC -c $< -o $@
$(BUILD)/shim/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE) -fPIC -fno-stack-protector -U_FORTIFY_SOURCE -DBROOD_SHIM -c $< -o $@
$(BUILD)/hatch/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE) -ffreestanding -fno-stack-protector -U_FORTIFY_SOURCE -fPIE -fno-asynchronous-unwind-tables -fcf-protection=none -DBROOD_HATCH -c $< -o $@
$(BUILD)/hatch/%.o: %.S
	@mkdir -p $(@D)
	$(CC) -c $< -o $@
$(BUILD)/libbrood.a: $(call obj,host,$(LIBC))
	rm -f $@; ar rcs $@ $^
$(BUILD)/brood: $(call obj,host,$(CLI)) $(BUILD)/libbrood.a
	$(CC) $(SANF) -o $@ $^
$(BUILD)/brood-shim.so: $(call obj,shim,$(SHIM))
	$(CC) -shared -Wl,-z,now -Wl,-soname,brood-shim.so -Wl,-z,initfirst -Wl,--no-undefined -o $@ $^ -ldl
$(BUILD)/brood-hatch: $(call obj,hatch,$(HATCH))
	$(CC) -static -nostdlib -no-pie -Wl,-Ttext-segment=0x100000000000 -Wl,--build-id=none -Wl,-z,norelro -Wl,-z,noseparate-code -o $@ $^
$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/libbrood.a tests/test.h
	@mkdir -p $(@D)
	$(CC) $(BASE) $(SANF) -o $@ $< $(BUILD)/libbrood.a -lpthread
$(BUILD)/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/driver.c $(BUILD)/libbrood.a
	@mkdir -p $(@D)
	$(CC) $(BASE) $(SANF) -o $@ $< tests/fuzz/driver.c $(BUILD)/libbrood.a -lpthread
$(BUILD)/tests/programs/lib%.so: tests/programs/lib%.c
	@mkdir -p $(@D)
	$(CC) $(BASE) -fPIC -shared -o $@ $<
$(BUILD)/tests/programs/%: tests/programs/%.c $(PLIB)
	@mkdir -p $(@D)
	$(CC) $(BASE) -o $@ $< -L$(@D) -Wl,-rpath,'$$ORIGIN' $$(sed -n 's,.*link: \([a-z]*\).*,-l\1,p' $<) -lpthread -ldl
$(BUILD)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $$(sed -n 's,.*flags: \([-a-z]*\).*,\1,p' $<) -o $@ $<
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
