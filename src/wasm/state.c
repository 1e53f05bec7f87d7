/* SPDX-License-Identifier: Apache-2.0 */
/* An instance's state, written and made into an instance again.  References
 * are null or functions that the module knows by an index; all others would
 * be things outside of the instance, and are refused. */
#include "wasm/state.h"
#include "wasm/store.h"
#include <string.h>

enum { ITEM_NONE = UINT32_MAX };

/* Keeping */

static bool is_function_type(const struct wasm_types *types, wasm_type type)
{
	uint32_t heap = type & WASM_REF_HEAP & ~(uint32_t)WASM_ABSTRACT;

	if (type & WASM_ABSTRACT)
		return heap == WASM_FUNC || heap == WASM_NOFUNC;
	return wasm_types_get(types, heap)->kind == WASM_KIND_FUNCTION;
}

/* ITEM_NONE: it is neither null nor a function of the module. */
static uint32_t item_of(const struct wasm_instance *instance, wasm_ref ref,
			wasm_type type)
{
	const struct wasm_module *module = instance->module;
	const struct wasm_function *function =
		(const struct wasm_function *)ref;

	if (!ref)
		return 0;
	if (!is_function_type(instance->store->types, type))
		return ITEM_NONE;
	if (function->instance == instance)
		return function->index + 1;
	for (uint32_t i = 0; i < module->imported_functions; i++)
		if (instance->imported_functions[i] == function)
			return i + 1;
	return ITEM_NONE;
}

/* A table, or an element segment. */
struct list {
	const wasm_ref *refs;
	uint64_t length, used;
	wasm_type type;
};

static struct list list_of(const struct wasm_instance *instance, uint32_t i)
{
	uint32_t tables = instance->module->table_count;
	struct list list;

	if (i < tables)
		list = (struct list){ instance->tables[i]->elems,
				      instance->tables[i]->length, 0,
				      instance->tables[i]->type };
	else
		list = (struct list){
			instance->elems[i - tables],
			instance->elem_lengths[i - tables], 0,
			instance->module->elems[i - tables].type
		};
	if (i >= tables && !list.refs)
		list.length = 0;
	list.used = list.length;
	while (list.used && !list.refs[list.used - 1])
		list.used--;
	return list;
}

static uint32_t list_count(const struct wasm_module *module)
{
	return module->table_count + module->elem_count;
}

static const char *refuse_imports(const struct wasm_module *module)
{
	for (uint32_t i = 0; i < module->import_count; i++)
		switch (module->imports[i].kind) {
		case WASM_EXTERN_TABLE: return "it imports a table";
		case WASM_EXTERN_MEMORY: return "it imports a memory";
		case WASM_EXTERN_GLOBAL: return "it imports a global";
		case WASM_EXTERN_FUNCTION:
		case WASM_EXTERN_TAG: break;
		}
	for (uint32_t i = 0; i < module->memory_count; i++)
		if (module->memories[i].limits.is_shared)
			return "it has a shared memory";
	return NULL;
}

static const char *refuse_globals(const struct wasm_instance *instance)
{
	for (uint32_t i = 0; i < instance->module->global_count; i++) {
		const struct wasm_global *global = &instance->globals[i];

		if (wasm_type_is_ref(global->type) &&
		    item_of(instance, global->value.ref, global->type) ==
			    ITEM_NONE)
			return "a global holds an object of the heap or the "
			       "host";
	}
	return NULL;
}

static const char *refuse_lists(const struct wasm_instance *instance)
{
	uint64_t items = 0;

	for (uint32_t i = 0; i < list_count(instance->module); i++) {
		struct list list = list_of(instance, i);

		for (uint64_t k = 0; k < list.used; k++)
			if (item_of(instance, list.refs[k], list.type) ==
			    ITEM_NONE)
				return "a table or segment holds an object "
				       "of the heap, the host or another "
				       "instance";
		items += list.used;
		if (items > UINT32_MAX)
			return "its tables are too large";
	}
	return NULL;
}

const char *wasm_state_refuse(const struct wasm_instance *instance)
{
	const char *why = refuse_imports(instance->module);

	if (!why)
		why = refuse_globals(instance);
	return why ? why : refuse_lists(instance);
}

static struct code_state counts_of(const struct wasm_instance *instance)
{
	const struct wasm_module *module = instance->module;
	struct code_state state = {
		.global_count = module->global_count,
		.memory_count = module->memory_count,
		.list_count = list_count(module),
		.data_count = module->data_count,
	};

	for (uint32_t i = 0; i < state.list_count; i++)
		state.item_count += (uint32_t)list_of(instance, i).used;
	return state;
}

uint64_t wasm_state_bytes(const struct wasm_instance *instance)
{
	struct code_state state = counts_of(instance);

	return code_state_bytes(&state);
}

static void write_globals(const struct wasm_instance *instance,
			  struct code_value *values)
{
	for (uint32_t i = 0; i < instance->module->global_count; i++) {
		const struct wasm_global *global = &instance->globals[i];

		if (wasm_type_is_ref(global->type))
			values[i].words[0] = item_of(
				instance, global->value.ref, global->type);
		else
			memcpy(&values[i], &global->value, sizeof(*values));
	}
}

static void write_lists(const struct wasm_instance *instance,
			const struct code_state *state)
{
	struct code_list *lists = code_state_lists(state);
	uint32_t *items = code_state_items(state), first = 0;

	for (uint32_t i = 0; i < state->list_count; i++) {
		struct list list = list_of(instance, i);

		lists[i] = (struct code_list){ list.length, (uint32_t)list.used,
					       first };
		for (uint64_t k = 0; k < list.used; k++)
			items[first++] =
				item_of(instance, list.refs[k], list.type);
	}
}

void wasm_state_write(const struct wasm_instance *instance,
		      struct code_state *state)
{
	*state = counts_of(instance);
	write_globals(instance, code_state_globals(state));
	for (uint32_t i = 0; i < state->memory_count; i++)
		code_state_memories(state)[i] = instance->memories[i]->bytes;
	write_lists(instance, state);
	for (uint32_t i = 0; i < state->data_count; i++)
		code_state_data(state)[i] = instance->data_lengths[i] != 0;
}

/* Making */

static int misfit(struct wasm_error *error)
{
	return wasm_error_set(error, 0, "the snapshot does not fit");
}

static bool state_is_of(const struct code_state *state,
			const struct wasm_module *module)
{
	return !refuse_imports(module) &&
	       state->global_count == module->global_count &&
	       state->memory_count == module->memory_count &&
	       state->list_count == list_count(module) &&
	       state->data_count == module->data_count;
}

static int make_memory(struct wasm_instance *instance,
		       const struct wasm_state *from, uint32_t index,
		       struct wasm_error *error)
{
	struct wasm_limits limits = instance->module->memories[index].limits;
	uint64_t bytes = code_state_memories(from->state)[index];
	uint64_t least = limits.least;
	struct wasm_memory *memory;
	bool has_data;

	limits.least = bytes >> limits.page_log2;
	if (limits.least < least || limits.least << limits.page_log2 != bytes)
		return misfit(error);
	memory =
		wasm_store_memory(instance->store, &limits, NULL, 0, &has_data);
	if (!memory)
		return wasm_error_set(
			error, 0,
			wasm_store_allows(instance->store, &limits)
				? "no memory for memory %u of %U pages"
				: "memory %u of %U pages is larger than the "
				  "limit",
			index, limits.least);
	memory->limits.least = least;
	instance->memories[index] = memory;
	if (from->place(from->env, memory, index) < 0)
		return wasm_error_set(
			error, 0, "the snapshot's memory %u cannot be mapped",
			index);
	return 0;
}

int wasm_state_make_memories(struct wasm_instance *instance,
			     const struct wasm_state *from,
			     struct wasm_error *error)
{
	if (!state_is_of(from->state, instance->module))
		return misfit(error);
	for (uint32_t i = 0; i < instance->module->memory_count; i++)
		if (make_memory(instance, from, i, error) < 0)
			return -1;
	return 0;
}

/* false: there is no such function, or it has not the type. */
static bool ref_of(struct wasm_instance *instance, uint64_t item,
		   wasm_type type, wasm_ref *ref)
{
	*ref = 0;
	if (item > instance->module->function_count)
		return false;
	if (item)
		*ref = (wasm_ref)wasm_instance_function(instance,
							(uint32_t)item - 1);
	if (type == WASM_FUNCREF)
		return true;
	return (!item || is_function_type(instance->store->types, type)) &&
	       wasm_ref_matches(instance->store, *ref, type);
}

static bool fill_globals(struct wasm_instance *instance,
			 const struct code_state *state)
{
	const struct code_value *values = code_state_globals(state);

	for (uint32_t i = 0; i < state->global_count; i++) {
		const struct wasm_global_decl *decl =
			&instance->module->globals[i];
		struct wasm_global *global = &instance->globals[i];

		global->type = decl->type;
		global->is_mutable = decl->is_mutable;
		if (!wasm_type_is_ref(decl->type))
			memcpy(&global->value, &values[i], sizeof(*values));
		else if (!ref_of(instance, values[i].words[0], decl->type,
				 &global->value.ref))
			return false;
	}
	return true;
}

static bool fill_list(struct wasm_instance *instance,
		      const struct code_state *state, uint32_t index,
		      wasm_type type, wasm_ref *refs)
{
	const struct code_list *list = &code_state_lists(state)[index];
	const uint32_t *items = code_state_items(state) + list->first;

	for (uint32_t i = 0; i < list->used; i++)
		if (!ref_of(instance, items[i], type, &refs[i]))
			return false;
	return list->used == list->length || type & WASM_NULLABLE;
}

static bool fill_table(struct wasm_instance *instance,
		       const struct code_state *state, uint32_t index)
{
	const struct wasm_table_decl *decl = &instance->module->tables[index];
	struct wasm_limits limits = decl->limits;
	struct wasm_table *table;

	limits.least = code_state_lists(state)[index].length;
	if (limits.least < decl->limits.least ||
	    (limits.has_most && limits.least > limits.most))
		return false;
	table = wasm_table_make(instance->store, decl->type, &limits, 0);
	if (!table)
		return false;
	instance->tables[index] = table;
	table->limits = decl->limits;
	return fill_list(instance, state, index, decl->type, table->elems);
}

static bool fill_elem(struct wasm_instance *instance,
		      const struct code_state *state, uint32_t index)
{
	const struct wasm_elem *elem = &instance->module->elems[index];
	uint32_t number = instance->module->table_count + index;
	uint64_t length = code_state_lists(state)[number].length;

	if (!length)
		return true;
	if (length != elem->count)
		return false;
	instance->elems[index] =
		wasm_store_allocate(instance->store, length * sizeof(wasm_ref));
	if (!instance->elems[index])
		return false;
	instance->elem_lengths[index] = (uint32_t)length;
	return fill_list(instance, state, number, elem->type,
			 instance->elems[index]);
}

int wasm_state_fill(struct wasm_instance *instance,
		    const struct wasm_state *from, struct wasm_error *error)
{
	const struct wasm_module *module = instance->module;
	const struct code_state *state = from->state;

	if (!fill_globals(instance, state))
		return misfit(error);
	for (uint32_t i = 0; i < module->table_count; i++)
		if (!fill_table(instance, state, i))
			return misfit(error);
	for (uint32_t i = 0; i < module->elem_count; i++)
		if (!fill_elem(instance, state, i))
			return misfit(error);
	for (uint32_t i = 0; i < module->data_count; i++)
		if (!code_state_data(state)[i])
			wasm_data_drop(instance, i);
	return 0;
}
