/* SPDX-License-Identifier: Apache-2.0 */
/* Validation of bodies and constant expressions: one operation after the
 * other.  The common ones go by one comparison of the topmost operands with
 * their signature; all the rest, and all that looks wrong, is read again and
 * goes by its rule. */
#include "wasm/validate_internal.h"
#include <string.h>

void wasm_validate_fail(struct wasm_validator *v, const char *format, ...)
{
	va_list list;

	if (!v->reader.failed && v->reader.error) {
		va_start(list, format);
		wasm_error_set_list(v->reader.error,
				    (uint64_t)(v->op_at - v->reader.base),
				    format, list);
		va_end(list);
	}
	v->reader.failed = true;
	v->reader.at = v->reader.end;
}

/* With the module's index instead of the registry's number. */
static void format_type(const struct wasm_validator *v, wasm_type type,
			char *text, uint32_t room)
{
	uint32_t index = 0;

	if (wasm_type_is_ref(type) && !(type & WASM_ABSTRACT)) {
		while (index < v->module->type_count &&
		       v->module->type[index]->id != (type & WASM_REF_HEAP))
			index++;
		type = (type & ~(wasm_type)WASM_REF_HEAP) | index;
	}
	if (type == WASM_BOTTOM_REF)
		wasm_format(text, room, "a reference");
	else
		wasm_type_format(type, text, room);
}

void wasm_validate_mismatch(struct wasm_validator *v, wasm_type want,
			    wasm_type got)
{
	char want_text[40], got_text[40];

	format_type(v, want, want_text, sizeof want_text);
	format_type(v, got, got_text, sizeof got_text);
	wasm_validate_fail(v, "type mismatch: %s expected, %s found", want_text,
			   got_text);
}

void *wasm_validate_grow(struct wasm_validator *v, void *old, size_t old_bytes,
			 size_t bytes)
{
	const struct wasm_host *host = v->module->host;
	void *grown = host->allocate(host->env, bytes);

	if (!grown) {
		wasm_validate_fail(v, "out of memory");
		return NULL;
	}
	if (old) {
		memcpy(grown, old, old_bytes);
		host->release(host->env, old, old_bytes);
	}
	return grown;
}

/* The operand stack.  Two words lie below it, so that the two topmost can
 * always be read. */

enum { SPARE = 2, FIRST_ROOM = 1024, FIRST_FRAMES = 64 };

bool wasm_validate_more_stack(struct wasm_validator *v)
{
	size_t top = (size_t)(v->top - v->stack),
	       base = (size_t)(v->base - v->stack);
	uint32_t room = v->stack_room * 2;
	wasm_type *stack;

	if (room > WASM_OPERANDS_MOST) {
		wasm_validate_fail(v, "too many operands");
		return false;
	}
	stack = wasm_validate_grow(v, v->stack - SPARE,
				   v->stack_room * sizeof *stack,
				   room * sizeof *stack);
	if (!stack)
		return false;
	v->stack = stack + SPARE;
	v->stack_room = room;
	v->room_end = stack + room;
	v->top = v->deepest = v->stack + top;
	v->base = v->stack + base;
	return true;
}

wasm_type wasm_pop_any(struct wasm_validator *v)
{
	if (v->top > v->base)
		return *--v->top;
	if (!v->frame->is_dead)
		wasm_validate_fail(v, "type mismatch: an operand expected, "
				      "nothing found");
	return WASM_NONE;
}

static bool fits(const struct wasm_validator *v, wasm_type got, wasm_type want)
{
	if (got == want)
		return true;
	if (got == WASM_BOTTOM_REF)
		return wasm_type_is_ref(want) || want == WASM_NONE;
	return wasm_type_matches(v->module->types, got, want);
}

/* Operand number "depth" from the top is of type "want". */
static wasm_type check_operand(struct wasm_validator *v, uint32_t depth,
			       wasm_type want)
{
	char text[40];

	if (depth < v->top - v->base) {
		wasm_type got = v->top[-1 - (ptrdiff_t)depth];

		if (!fits(v, got, want))
			wasm_validate_mismatch(v, want, got);
		return got;
	}
	if (!v->frame->is_dead) {
		format_type(v, want, text, sizeof text);
		wasm_validate_fail(
			v, "type mismatch: %s expected, nothing found", text);
	}
	return WASM_NONE;
}

wasm_type wasm_pop(struct wasm_validator *v, wasm_type want)
{
	wasm_type got = check_operand(v, 0, want);

	if (v->top > v->base)
		v->top--;
	return got;
}

wasm_type wasm_pop_reference(struct wasm_validator *v)
{
	wasm_type got = wasm_pop_any(v);

	if (got == WASM_NONE)
		return WASM_BOTTOM_REF;
	if (!wasm_type_is_ref(got))
		wasm_validate_mismatch(v, WASM_BOTTOM_REF, got);
	return got;
}

void wasm_push_list(struct wasm_validator *v, const wasm_type *types,
		    uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		wasm_push(v, types[i]);
}

void wasm_check_list(struct wasm_validator *v, const wasm_type *types,
		     uint32_t count)
{
	for (uint32_t i = 0; i < count && !v->reader.failed; i++)
		check_operand(v, i, types[count - 1 - i]);
}

void wasm_pop_list(struct wasm_validator *v, const wasm_type *types,
		   uint32_t count)
{
	wasm_check_list(v, types, count);
	v->top = count < v->top - v->base ? v->top - count : v->base;
}

/* What the rows of operations.tab tell */

static wasm_type letter_type(char letter, wasm_type address)
{
	switch (letter) {
	case 'i': return WASM_I32;
	case 'l': return WASM_I64;
	case 'f': return WASM_F32;
	case 'd': return WASM_F64;
	case 'v': return WASM_V128;
	default: return address;
	}
}

static wasm_type check_memarg(struct wasm_validator *v, uint8_t natural,
			      bool is_atomic)
{
	wasm_type address = wasm_rule_memory(v, v->imm.memory);

	if (v->imm.align > natural)
		wasm_validate_fail(v,
				   "alignment must not be larger than natural");
	else if (is_atomic && v->imm.align != natural)
		wasm_validate_fail(v, "alignment must be natural");
	if (address == WASM_I32 && v->imm.value > UINT32_MAX)
		wasm_validate_fail(v, "offset out of range");
	return address;
}

static void check_lanes(struct wasm_validator *v)
{
	for (int i = 0; i < 16; i++)
		if (v->imm.bytes[i] >= 32)
			wasm_validate_fail(v, "invalid lane index %u",
					   (uint32_t)v->imm.bytes[i]);
}

/* Returns the type of addresses where there are some. */
static wasm_type check_immediate(struct wasm_validator *v, uint8_t kind,
				 uint8_t value)
{
	switch (kind) {
	case WASM_IMM_MEMARG:
	case WASM_IMM_ATOMIC:
		return check_memarg(v, value, kind == WASM_IMM_ATOMIC);
	case WASM_IMM_LANE:
		if (v->imm.lane >= value)
			wasm_validate_fail(v, "invalid lane index %u",
					   v->imm.lane);
		break;
	case WASM_IMM_LANES: check_lanes(v); break;
	}
	return WASM_NONE;
}

static void go_by_row(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_operation_info *info = &wasm_operations[op];
	wasm_type address =
		check_immediate(v, info->immediates[0], info->values[0]);

	check_immediate(v, info->immediates[1], info->values[1]);
	for (size_t i = sizeof info->operands; i-- > 0;)
		if (info->operands[i])
			wasm_pop(v, letter_type(info->operands[i], address));
	for (const char *c = info->results; *c; c++)
		wasm_push(v, letter_type(*c, address));
	if (info->prefix == 0xfd)
		v->has_simd = true;
}

static void check_one(struct wasm_validator *v)
{
	enum wasm_operation op;

	v->op_at = v->reader.at;
	op = wasm_read_operation(&v->reader);
	if (op == WASM_OPERATIONS ||
	    wasm_read_immediates(&v->reader, op, &v->imm) < 0)
		return;
	if (wasm_rules[op])
		wasm_rules[op](v, op);
	else
		go_by_row(v, op);
}

/* Bodies */

static size_t locals_bytes(uint32_t room)
{
	return room * (sizeof(struct wasm_local) + 2 * sizeof(uint32_t));
}

/* Called before the logs are in use: they lie behind the locals. */
static bool need_locals(struct wasm_validator *v, uint32_t count)
{
	const struct wasm_host *host = v->module->host;
	uint32_t room = v->local_room ? v->local_room : 64;
	struct wasm_local *locals;

	if (count <= v->local_room)
		return true;
	while (room < count)
		room *= 2;
	locals = wasm_validate_grow(v, NULL, 0, locals_bytes(room));
	if (!locals)
		return false;
	if (v->locals) {
		memcpy(locals, v->locals, v->local_room * sizeof *locals);
		host->release(host->env, v->locals,
			      locals_bytes(v->local_room));
	}
	v->locals = locals;
	v->local_room = room;
	v->strict = (uint32_t *)(locals + room);
	v->touched = v->strict + room;
	return true;
}

/* Parameters have no bit: they are set. */
static struct wasm_local local_of(const struct wasm_validator *v,
				  uint32_t index, wasm_type type)
{
	bool is_param = index < v->param_count;
	uint32_t number = index - v->param_count;
	struct wasm_local local = { .type = type, .declared = type };

	local.bit = is_param || number >= BITS ? BITS : number;
	if (!is_param && wasm_type_is_ref(type) && !(type & WASM_NULLABLE))
		local.type = WASM_NONE;
	return local;
}

static wasm_type type_of_local(const struct wasm_validator *v, uint32_t index)
{
	uint32_t low = 0, high = v->run_count - 1;

	if (index < v->param_count)
		return v->params[index];
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (index < v->runs[middle].end)
			high = middle;
		else
			low = middle + 1;
	}
	return v->runs[low].type;
}

struct wasm_local *wasm_validate_local(struct wasm_validator *v, uint32_t index)
{
	struct wasm_local *local = &v->locals[index];

	if (local->declared == WASM_NONE) {
		*local = local_of(v, index, type_of_local(v, index));
		v->touched[v->touched_count++] = index;
	}
	return local;
}

/* Empties what the last body left in the places of those that follow, which
 * are filled when they are named. */
static void stop_filling(struct wasm_validator *v)
{
	if (v->filled < v->dirty)
		memset(v->locals + v->filled, 0,
		       (v->dirty - v->filled) * sizeof *v->locals);
	v->dirty = v->filled;
	v->is_filling = false;
}

static bool add_run(struct wasm_validator *v, wasm_type type, uint32_t end)
{
	uint32_t room = v->run_room ? v->run_room * 2 : 64;
	struct wasm_local_run *runs;

	if (v->run_count == v->run_room) {
		runs = wasm_validate_grow(v, v->runs,
					  v->run_room * sizeof *runs,
					  room * sizeof *runs);
		if (!runs)
			return false;
		v->runs = runs;
		v->run_room = room;
	}
	v->runs[v->run_count++] =
		(struct wasm_local_run){ .end = end, .type = type };
	return true;
}

static void fill_locals(struct wasm_validator *v, wasm_type type, uint32_t end)
{
	struct wasm_local local = local_of(v, v->filled, type);

	for (uint32_t i = v->filled; i < end; i++) {
		v->locals[i] = local;
		local.bit += local.bit < BITS;
	}
	v->filled = end;
	if (v->dirty < end)
		v->dirty = end;
}

static void add_locals(struct wasm_validator *v, wasm_type type, uint32_t count)
{
	uint32_t end = v->local_count + count;

	if (count > WASM_LOCALS_MOST - v->local_count) {
		wasm_validate_fail(v, "too many locals");
		return;
	}
	if (!count || !need_locals(v, end))
		return;
	if (v->is_filling && end > v->fill_most)
		stop_filling(v);
	if (v->is_filling)
		fill_locals(v, type, end);
	else if (!add_run(v, type, end))
		return;
	v->local_count = end;
}

static void add_params(struct wasm_validator *v,
		       const struct wasm_deftype *type)
{
	uint32_t count = type->param_count;

	if (!need_locals(v, count))
		return;
	v->params = type->params;
	v->param_count = v->local_count = count;
	if (count > v->fill_most)
		stop_filling(v);
	for (uint32_t i = 0; v->is_filling && i < count; i++)
		fill_locals(v, type->params[i], i + 1);
}

static void read_locals(struct wasm_validator *v)
{
	struct wasm_reader *reader = &v->reader;
	uint32_t count = wasm_read_length(reader);

	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		uint32_t more;
		wasm_type type;

		v->op_at = reader->at;
		more = wasm_read_u32(reader);
		type = wasm_rule_resolve(v, wasm_read_value_type(reader));
		if (reader->failed)
			return;
		v->has_simd |= type == WASM_V128;
		add_locals(v, type, more);
	}
}

/* What the last body named, and told of it, is empty again. */
static void forget_locals(struct wasm_validator *v)
{
	if (v->is_weighed && v->filled) {
		memset(v->uses, 0, v->filled * sizeof *v->uses);
		memset(v->needs_zero, 0, v->filled);
	}
	for (uint32_t i = 0; i < v->touched_count; i++) {
		uint32_t index = v->touched[i];

		v->locals[index] = (struct wasm_local){ 0 };
		if (v->is_weighed)
			v->uses[index] = v->needs_zero[index] = 0;
	}
	v->local_count = v->param_count = v->filled = 0;
	v->run_count = v->touched_count = v->strict_count = 0;
	v->is_filling = true;
	v->is_weighed = false;
}

static void start(struct wasm_validator *v, const struct wasm_reader *reader,
		  struct wasm_list results, wasm_type single)
{
	forget_locals(v);
	v->fill_most = FILLED_MOST + (uint32_t)(reader->end - reader->at);
	v->reader = *reader;
	v->op_at = reader->at;
	v->top = v->base = v->deepest = v->stack;
	v->frame = v->frames;
	v->set = 1ull << BITS;
	v->needs = 0;
	v->weight = 1;
	v->call_weight = 0;
	v->call_count = v->loop_count = 0;
	v->has_try = v->has_simd = false;
	wasm_frame_enter(v, 0x02, (struct wasm_list){ NULL, 0 }, results,
			 single);
}

/* The body's length and its "end" must fit. */
static void check_ended(struct wasm_validator *v)
{
	const struct wasm_reader *reader = &v->reader;

	v->op_at = reader->at;
	if (reader->failed ||
	    (v->frame == v->frames && reader->at == reader->end))
		return;
	if (v->frame == v->frames ||
	    (reader->at == reader->end && reader->end < reader->limit &&
	     *reader->end == 0x0b))
		wasm_validate_fail(v, "section size mismatch");
	else if (reader->at > reader->end || reader->end == reader->limit)
		wasm_validate_fail(v, "unexpected end of section or function");
	else
		wasm_validate_fail(v, "END opcode expected");
}

/* The fast way, while SAFE_BYTES lie behind, so that no read of an operation
 * need be checked: nothing here is longer.  What passes the body's end is seen
 * there.
 *
 * It handles what is common and right; for all else it leaves the operation to
 * its rule, as if it had not looked. */

enum { SAFE_BYTES = 32, V128_CONST = 0x0c };

/* A number of up to three bytes; 0: it is longer. */
static inline __attribute__((always_inline)) unsigned
short_number(const uint8_t *at, uint32_t *number)
{
	*number = at[0];
	if (__builtin_expect(at[0] < 0x80, 1))
		return 1;
	*number = (at[0] & 0x7f) | (uint32_t)at[1] << 7;
	if (at[1] < 0x80)
		return 2;
	*number = (*number & 0x3fff) | (uint32_t)at[2] << 14;
	return at[2] < 0x80 ? 3 : 0;
}

/* The length of a number of up to four bytes; 0: it is longer. */
static inline __attribute__((always_inline)) unsigned
short_length(const uint8_t *at)
{
	if (__builtin_expect(at[0] < 0x80, 1))
		return 1;
	return at[1] < 0x80 ? 2 : at[2] < 0x80 ? 3 : at[3] < 0x80 ? 4 : 0;
}

static inline uint32_t added_weight(uint32_t uses, uint32_t weight)
{
	uint32_t sum = uses + weight;

	return sum < weight ? UINT32_MAX : sum;
}

static inline __attribute__((always_inline)) bool
operands_fit(const wasm_type *top, const wasm_type *base,
	     const struct wasm_signature *signature)
{
	uint64_t two;

	memcpy(&two, top - 2, sizeof two);
	return top - base >= signature->pops &&
	       ((two ^ signature->operands) & signature->mask) == 0;
}

static bool has_plain_memory(const struct wasm_module *module)
{
	return module->memory_count && !module->memories[0].limits.is64;
}

/* Room for one more on the stack. */
static inline __attribute__((always_inline)) bool
has_room(struct wasm_validator *v, wasm_type *top)
{
	if (__builtin_expect(top < v->deepest, 1))
		return true;
	if (top == v->room_end)
		return false;
	v->deepest = top + 1;
	return true;
}

/* A block without parameters and with no result or a number. */
static bool enter_plain(struct wasm_validator *v, const uint8_t *at,
			wasm_type *top)
{
	uint32_t results = at[1] != 0x40;

	if (at[1] != 0x40 && (at[1] < WASM_F64 || at[1] > WASM_I32))
		return false;
	v->top = top;
	wasm_frame_enter(v, *at, (struct wasm_list){ NULL, 0 },
			 (struct wasm_list){ NULL, results },
			 results ? at[1] : WASM_NONE);
	return true;
}

static bool leave_plain(struct wasm_validator *v, const wasm_type *top)
{
	const struct wasm_control *frame = v->frame;

	if (frame == v->frames + 1 || frame->params.count ||
	    top - v->base != frame->results.count)
		return false;
	if (frame->results.count &&
	    (frame->results.types || frame->results.count != 1 ||
	     top[-1] != frame->single || frame->opcode == 0x04))
		return false;
	wasm_frame_leave(v);
	return true;
}

/* The frame of a label that takes nothing, and a branch to it. */
static inline __attribute__((always_inline)) bool
branch_plain(struct wasm_validator *v, uint8_t depth)
{
	struct wasm_control *frame;

	if (depth >= 0x80 || depth >= v->frame - v->frames)
		return false;
	frame = v->frame - depth;
	if (frame->label_count)
		return false;
	frame->branch_set &= v->set;
	return true;
}

/* The length of a vector operation that its signature and a plain access to
 * memory 0 describe; 0: another one. */
static unsigned find_vector(struct wasm_validator *v, const uint8_t *at,
			    const struct wasm_signature **signature)
{
	unsigned op = WASM_OPERATIONS, len, more;
	uint32_t code;

	len = short_number(at + 1, &code);
	if (len && code < sizeof wasm_opcodes_fd / sizeof *wasm_opcodes_fd)
		op = wasm_opcodes_fd[code];
	if (op == WASM_OPERATIONS || v->reader.refused)
		return 0;
	v->has_simd = true;
	*signature = &wasm_signatures[op];
	at += 1 + len;
	if ((*signature)->is_simple != 2)
		return (*signature)->is_simple ? 1 + len : 0;
	more = short_length(at + 1);
	if (!more || *at > (*signature)->align || !has_plain_memory(v->module))
		return 0;
	return 2 + len + more;
}

/* Pops the arguments of a call and pushes its result, if it has one at the
 * most; NULL: it does not fit. */
static wasm_type *call_plain(struct wasm_validator *v, uint32_t index,
			     wasm_type *top)
{
	const struct wasm_module *module = v->module;
	const struct wasm_deftype *type;
	uint32_t count;

	if (index >= module->function_count)
		return NULL;
	type = module->type[module->functions[index].type_index];
	count = type->param_count;
	if (count > top - v->base || type->result_count > 1)
		return NULL;
	top -= count;
	for (uint32_t i = 0; i < count; i++)
		if (top[i] != type->params[i])
			return NULL;
	if (type->result_count) {
		if (!has_room(v, top))
			return NULL;
		*top++ = type->results[0];
	}
	v->call_count++;
	v->call_weight += v->weight;
	return top;
}

static const uint8_t *check_fast(struct wasm_validator *v, const uint8_t *at,
				 const uint8_t *end)
{
	const struct wasm_module *module = v->module;
	bool plain_memory =
		module->memory_count && !module->memories[0].limits.is64;
	const struct wasm_signature *signature;
	const struct wasm_global_decl *global;
	struct wasm_local *local;
	wasm_type *top = v->top, *base = v->base, *called;
	uint32_t index;
	unsigned len;

	while (at < end) {
		signature = &wasm_signatures_plain[*at];
		switch (*at) {
		case 0x02: /* block */
		case 0x03: /* loop */
			if (!enter_plain(v, at, top))
				goto rule;
			base = top;
			at += 2;
			continue;
		case 0x04: /* if */
			if (top == base || top[-1] != WASM_I32 ||
			    !enter_plain(v, at, top - 1))
				goto rule;
			base = --top;
			at += 2;
			continue;
		case 0x0b: /* end */
			if (!leave_plain(v, top))
				goto rule;
			base = v->base;
			at++;
			continue;
		case 0x0c: /* br */
			if (!branch_plain(v, at[1]))
				goto rule;
			wasm_frame_die(v);
			top = base;
			at += 2;
			continue;
		case 0x0d: /* br_if */
			if (top == base || top[-1] != WASM_I32 ||
			    !branch_plain(v, at[1]))
				goto rule;
			top--;
			at += 2;
			continue;
		case 0x10: /* call */
			len = short_number(at + 1, &index);
			called = len ? call_plain(v, index, top) : NULL;
			if (!called)
				goto rule;
			top = called;
			at += 1 + len;
			continue;
		case 0x1a: /* drop */
			if (top == base)
				goto rule;
			top--;
			at++;
			continue;
		case 0x1b: /* select */
			if (top - base < 3 || top[-1] != WASM_I32 ||
			    top[-2] != top[-3] || wasm_type_is_ref(top[-2]))
				goto rule;
			top -= 2;
			at++;
			continue;
		case 0x20: /* local.get */
			len = short_number(at + 1, &index);
			if (!len || index >= v->local_count)
				goto rule;
			local = &v->locals[index];
			if (!local->type || !has_room(v, top))
				goto rule;
			local->uses = added_weight(local->uses, v->weight);
			v->needs |= 1ull << local->bit & ~v->set;
			*top++ = local->type;
			at += 1 + len;
			continue;
		case 0x21: /* local.set */
		case 0x22: /* local.tee */
			len = short_number(at + 1, &index);
			if (!len || index >= v->local_count || top == base)
				goto rule;
			local = &v->locals[index];
			if (!local->type || local->type != top[-1])
				goto rule;
			local->uses = added_weight(local->uses, v->weight);
			v->set |= 1ull << local->bit;
			top -= *at == 0x21;
			at += 1 + len;
			continue;
		case 0x23: /* global.get */
			len = short_number(at + 1, &index);
			if (!len || index >= module->global_count ||
			    !has_room(v, top))
				goto rule;
			*top++ = module->globals[index].type;
			at += 1 + len;
			continue;
		case 0x24: /* global.set */
			len = short_number(at + 1, &index);
			if (!len || index >= module->global_count ||
			    top == base)
				goto rule;
			global = &module->globals[index];
			if (!global->is_mutable || global->type != top[-1])
				goto rule;
			top--;
			at += 1 + len;
			continue;
		case 0x28 ... 0x3e: /* loads and stores */
			len = short_length(at + 2);
			if (!len || at[1] > signature->align || !plain_memory ||
			    !operands_fit(top, base, signature))
				goto rule;
			top -= signature->pops;
			*top = signature->result;
			top += signature->pushes;
			at += 2 + len;
			continue;
		case 0x41: /* i32.const */
		case 0x42: /* i64.const */
			len = short_length(at + 1);
			if (!len || !has_room(v, top))
				goto rule;
			*top++ = *at == 0x41 ? WASM_I32 : WASM_I64;
			at += 1 + len;
			continue;
		case 0x43: /* f32.const */
			if (!has_room(v, top))
				goto rule;
			*top++ = WASM_F32;
			at += 5;
			continue;
		case 0x44: /* f64.const */
			if (!has_room(v, top))
				goto rule;
			*top++ = WASM_F64;
			at += 9;
			continue;
		case 0xfd: /* vectors */
			if (at[1] == V128_CONST && !v->reader.refused &&
			    has_room(v, top)) {
				v->has_simd = true;
				*top++ = WASM_V128;
				at += 18;
				continue;
			}
			len = find_vector(v, at, &signature);
			if (!len || !operands_fit(top, base, signature))
				goto rule;
			top -= signature->pops;
			*top = signature->result;
			top += signature->pushes;
			at += len;
			continue;
		default:
			if (signature->is_simple != 1 ||
			    !operands_fit(top, base, signature))
				goto rule;
			top -= signature->pops;
			*top = signature->result;
			top += signature->pushes;
			at++;
			continue;
		}
rule:
		v->reader.at = at;
		v->top = top;
		check_one(v);
		at = v->reader.at;
		top = v->top;
		base = v->base;
		if (v->reader.failed || v->frame == v->frames)
			break;
	}
	v->top = top;
	return at;
}

static void check_operations(struct wasm_validator *v)
{
	const uint8_t *safe = v->reader.limit - v->reader.at > SAFE_BYTES
				      ? v->reader.limit - SAFE_BYTES
				      : v->reader.at;

	if (!v->reader.failed)
		v->reader.at =
			check_fast(v, v->reader.at,
				   v->reader.end < safe ? v->reader.end : safe);
	while (v->frame > v->frames && v->reader.at < v->reader.end)
		check_one(v);
	check_ended(v);
}

/* Called between bodies, when all is zero. */
static bool need_weights(struct wasm_validator *v)
{
	uint32_t room = v->local_room;
	uint32_t *uses;

	if (v->local_count <= v->weights_room)
		return true;
	uses = wasm_validate_grow(v, v->uses, v->weights_room * 5ull,
				  room * 5ull);
	if (!uses)
		return false;
	v->uses = uses;
	v->needs_zero = (uint8_t *)(uses + room);
	v->weights_room = room;
	return true;
}

static void weigh_local(struct wasm_validator *v, uint32_t index)
{
	const struct wasm_local *local = &v->locals[index];

	v->uses[index] = local->uses;
	v->needs_zero[index] = local->bit < BITS
				       ? v->needs >> local->bit & 1
				       : index >= v->param_count && local->uses;
}

static int give_weights(struct wasm_validator *v, struct wasm_weights *weights)
{
	if (!need_weights(v))
		return -1;
	*weights = (struct wasm_weights){
		.local_count = v->local_count,
		.uses = v->uses,
		.needs_zero = v->needs_zero,
		.first_count = v->filled,
		.other_count = v->touched_count,
		.others = v->touched,
		.call_weight = v->call_weight,
		.call_count = v->call_count,
		.loop_count = v->loop_count,
		.deepest_stack = (uint32_t)(v->deepest - v->stack),
		.has_try = v->has_try,
		.has_simd = v->has_simd,
	};
	v->is_weighed = true;
	for (uint32_t i = 0; i < v->filled; i++)
		weigh_local(v, i);
	for (uint32_t i = 0; i < v->touched_count; i++)
		weigh_local(v, v->touched[i]);
	return 0;
}

int wasm_validate_body(struct wasm_validator *v, uint32_t function,
		       struct wasm_weights *weights, struct wasm_error *error)
{
	const struct wasm_module *module = v->module;
	const struct wasm_function_decl *decl = &module->functions[function];
	const struct wasm_deftype *type = module->type[decl->type_index];
	struct wasm_reader reader = {
		.at = decl->body,
		.end = decl->body + decl->body_len,
		.base = module->bytes,
		.limit = module->bytes + module->len,
		.error = error,
		.refused = module->refused,
	};

	start(v, &reader,
	      (struct wasm_list){ type->results, type->result_count },
	      WASM_NONE);
	add_params(v, type);
	read_locals(v);
	check_operations(v);
	if (v->reader.failed)
		return -1;
	return weights ? give_weights(v, weights) : 0;
}

/* Constant expressions */

static bool is_constant(enum wasm_operation op)
{
	switch (op) {
	case WASM_OP_END:
	case WASM_OP_I32_CONST:
	case WASM_OP_I64_CONST:
	case WASM_OP_F32_CONST:
	case WASM_OP_F64_CONST:
	case WASM_OP_V128_CONST:
	case WASM_OP_I32_ADD:
	case WASM_OP_I32_SUB:
	case WASM_OP_I32_MUL:
	case WASM_OP_I64_ADD:
	case WASM_OP_I64_SUB:
	case WASM_OP_I64_MUL:
	case WASM_OP_GLOBAL_GET:
	case WASM_OP_REF_NULL:
	case WASM_OP_REF_FUNC:
	case WASM_OP_REF_I31:
	case WASM_OP_STRUCT_NEW:
	case WASM_OP_STRUCT_NEW_DEFAULT:
	case WASM_OP_ARRAY_NEW:
	case WASM_OP_ARRAY_NEW_DEFAULT:
	case WASM_OP_ARRAY_NEW_FIXED:
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY: return true;
	default: return false;
	}
}

/* Globals that change are not constant.  A function that is named here may
 * be named by code. */
static bool check_constant(struct wasm_reader *reader, const uint8_t *at,
			   const struct wasm_module *module,
			   enum wasm_operation op,
			   const struct wasm_immediates *imm)
{
	uint32_t index = imm->index[0];

	if (!is_constant(op) ||
	    (op == WASM_OP_GLOBAL_GET && index < module->global_count &&
	     module->globals[index].is_mutable)) {
		wasm_reader_fail(reader, at, "constant expression required");
		return false;
	}
	if (op == WASM_OP_REF_FUNC && index < module->function_count)
		module->functions[index].is_declared = true;
	return true;
}

/* Sets the reader behind the expression's end. */
static void scan_constant(struct wasm_reader *reader,
			  const struct wasm_module *module)
{
	struct wasm_immediates imm = { 0 };
	enum wasm_operation op;

	do {
		const uint8_t *at = reader->at;

		op = wasm_read_operation(reader);
		if (op == WASM_OPERATIONS ||
		    wasm_read_immediates(reader, op, &imm) < 0)
			return;
		if (!check_constant(reader, at, module, op, &imm))
			return;
	} while (op != WASM_OP_END);
}

int wasm_validate_expression(struct wasm_validator *v,
			     struct wasm_reader *reader, wasm_type type,
			     struct wasm_expression *expression)
{
	const uint8_t *at = reader->at;
	struct wasm_reader part = *reader;

	scan_constant(reader, v->module);
	if (reader->failed)
		return -1;
	part.end = reader->at;
	start(v, &part, (struct wasm_list){ NULL, 1 }, type);
	check_operations(v);
	if (v->reader.failed) {
		reader->failed = true;
		return -1;
	}
	expression->at = at;
	expression->len = (uint32_t)(reader->at - at);
	return 0;
}

/* A validator */

static bool make_room(struct wasm_validator *v)
{
	wasm_type *stack =
		wasm_validate_grow(v, NULL, 0, FIRST_ROOM * sizeof *stack);

	if (!stack)
		return false;
	v->stack = stack + SPARE;
	v->stack_room = FIRST_ROOM;
	v->room_end = stack + FIRST_ROOM;
	v->frames = wasm_validate_grow(v, NULL, 0,
				       FIRST_FRAMES * sizeof *v->frames);
	v->frame_room = FIRST_FRAMES;
	return v->frames != NULL;
}

struct wasm_validator *wasm_validator_new(const struct wasm_module *module)
{
	const struct wasm_host *host = module->host;
	struct wasm_validator *v = host->allocate(host->env, sizeof *v);

	if (!v)
		return NULL;
	v->module = module;
	if (make_room(v))
		return v;
	wasm_validator_free(v);
	return NULL;
}

static void release(const struct wasm_host *host, void *block, size_t len)
{
	if (block)
		host->release(host->env, block, len);
}

void wasm_validator_free(struct wasm_validator *v)
{
	const struct wasm_host *host;

	if (!v)
		return;
	host = v->module->host;
	if (v->stack)
		release(host, v->stack - SPARE,
			v->stack_room * sizeof *v->stack);
	release(host, v->frames, v->frame_room * sizeof *v->frames);
	release(host, v->locals, locals_bytes(v->local_room));
	release(host, v->runs, v->run_room * sizeof *v->runs);
	release(host, v->uses, v->weights_room * 5ull);
	release(host, v, sizeof *v);
}

bool wasm_validator_has_tail_calls(const struct wasm_validator *v)
{
	return v->has_tail_calls;
}

wasm_type wasm_validator_local(const struct wasm_validator *v, uint32_t index)
{
	return v->locals[index].declared;
}
