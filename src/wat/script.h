/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts of the standard's test suite: commands one after another. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "wasm/type.h"
#include "wasm/value.h"

enum wat_command_kind {
	WAT_MODULE,	       /* made and instantiated */
	WAT_MODULE_DEFINITION, /* made only */
	WAT_MODULE_INSTANCE,   /* instance of a definition */
	WAT_REGISTER,
	WAT_ACTION, /* invoke or get, result ignored */
	WAT_ASSERT_RETURN,
	WAT_ASSERT_TRAP,
	WAT_ASSERT_EXHAUSTION,
	WAT_ASSERT_EXCEPTION,
	WAT_ASSERT_MALFORMED,
	WAT_ASSERT_INVALID,
	WAT_ASSERT_UNLINKABLE, /* a module, or an instantiation that traps */
	WAT_ASSERT_TRAP_MODULE,
	WAT_ASSERT_MALFORMED_CUSTOM,
	WAT_ASSERT_INVALID_CUSTOM,
	WAT_THREAD,
	WAT_WAIT,
};

/* A value given, or a pattern of an expected one. */
struct wat_value {
	wasm_type type; /* of a constant; references: see "ref" */
	union wasm_value value;
	/* expected floats: which lanes are nan:canonical, nan:arithmetic */
	uint16_t nan_canonical, nan_arithmetic; /* bit a lane (bit 0: scalar) */
	uint8_t lanes;				/* of a v128: 16 8 4 2; for
						 * floats lane_float is set */
	bool lane_float;
	enum wat_ref {
		WAT_REF_NONE,	/* not a reference */
		WAT_REF_NULL,	/* any null; type tells which, or 0 */
		WAT_REF_HOST,	/* ref.host N: value.i64 = N, as any */
		WAT_REF_EXTERN, /* ref.extern N, or any when "any_value" */
		WAT_REF_FUNC,
		WAT_REF_KIND, /* (ref.i31), (ref.eq), ...: type tells which */
	} ref;
	bool any_value;
	/* (either a b ...): alternatives, this one being the first */
	struct wat_value *either;
};

struct wat_action {
	bool is_get;
	char *instance; /* "$name" or NULL: the last one */
	char *name;	/* of the export */
	size_t name_len;
	struct wat_value *arguments;
	size_t argument_count;
};

struct wat_command {
	enum wat_command_kind kind;
	unsigned line;
	char *name; /* module's or instance's "$name", or NULL */
	/* WAT_MODULE_INSTANCE, and an assertion about "(module instance)":
	 * there is no binary, but a definition's name, or NULL: the last. */
	bool is_instance;
	char *definition;
	struct buf binary;    /* the module, when the text was well formed */
	bool is_text;	      /* the module was text or quoted text */
	struct err malformed; /* code != 0: why it is not well formed */
	char *message;	      /* of assertions */
	char *as;	      /* WAT_REGISTER: its name */
	size_t as_len;
	struct wat_action action;
	struct wat_value *expected;
	size_t expected_count;
	struct wat_script *thread; /* WAT_THREAD: its commands */
	char **shared;		   /* names of modules that it shares */
	size_t shared_count;
};

/* Reads commands lazily, one at a time; name and text stay the caller's and
 * must stay until it is closed. */
struct wat_script;
int wat_script_open(struct wat_script **script, const char *name,
		    const char *text, size_t len, struct err *err);
/* 1 a command (freed by the next call), 0 the end, < 0 the script itself is
 * not well formed. */
int wat_script_next(struct wat_script *script, struct wat_command **command,
		    struct err *err);
void wat_script_close(struct wat_script *script);
