/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over a module tells its items to a teller, of which there are two:
 * text and JSON. */
#include "cli/wasm_inspect.h"
#include "base/json.h"
#include "vm/vm.h"
#include <stdio.h>
#include <string.h>

struct inspect_section {
	uint8_t id;
	uint64_t offset, len;  /* of the payload */
	struct wasm_name name; /* of a custom one */
};

static const char *const inspect_sections[] = {
	"custom", "type",   "import",	  "function", "table",
	"memory", "global", "export",	  "start",    "element",
	"code",	  "data",   "data count", "tag",
};

static uint64_t inspect_leb(const struct wasm_module *module, uint64_t *at)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte = 0x80;

	while (byte & 0x80 && *at < module->len && shift < 64) {
		byte = module->bytes[(*at)++];
		value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	}
	return value;
}

/* The section at *at, which is moved behind it; false at the end.  The
 * module is valid, so that sizes fit. */
static bool inspect_next(const struct wasm_module *module, uint64_t *at,
			 struct inspect_section *section)
{
	if (*at >= module->len)
		return false;
	*section = (struct inspect_section){ .id = module->bytes[(*at)++] };
	section->len = inspect_leb(module, at);
	section->offset = *at;
	if (section->id == 0) {
		uint64_t name_at = *at;

		section->name.len = (uint32_t)inspect_leb(module, &name_at);
		section->name.text = (const char *)module->bytes + name_at;
	}
	*at += section->len;
	return true;
}

static const char *inspect_section_name(const struct inspect_section *section)
{
	size_t count = sizeof inspect_sections / sizeof *inspect_sections;

	return section->id < count ? inspect_sections[section->id] : "?";
}

/* What an inspection shows of the section "name". */
struct inspect_names {
	struct wasm_name module;
	uint64_t functions;
};

static struct inspect_names inspect_names(const struct wasm_module *module)
{
	const struct wasm_name *names = &module->names;
	struct inspect_names found = { 0 };
	struct wasm_module part = { .bytes = (const uint8_t *)names->text,
				    .len = names->len };
	uint64_t at = 0;

	while (names->text && at + 1 < part.len) {
		uint8_t id = part.bytes[at++];
		uint64_t len = inspect_leb(&part, &at), end = at + len, first;

		if (len > part.len - at)
			break;
		first = inspect_leb(&part, &at);
		if (id == 1)
			found.functions = first;
		if (id == 0 && at <= end && first <= end - at)
			found.module = (struct wasm_name){
				(const char *)part.bytes + at, (uint32_t)first
			};
		at = end;
	}
	return found;
}

/* Text. */

static void inspect_text_sections(const struct wasm_module *module,
				  struct buf *text)
{
	struct inspect_section section;
	uint64_t at = 8;

	buf_text(text, "sections:\n");
	while (inspect_next(module, &at, &section)) {
		buf_format(text, "  %-10s %10llu bytes at 0x%llx",
			   inspect_section_name(&section),
			   (unsigned long long)section.len,
			   (unsigned long long)section.offset);
		if (section.id == 0) {
			buf_text(text, " \"");
			vm_describe_name(section.name, text);
			buf_text(text, "\"");
		}
		buf_text(text, "\n");
	}
}

static void inspect_text_item(const struct wasm_module *module,
			      enum wasm_extern_kind kind, uint32_t index,
			      struct buf *text)
{
	buf_format(text, ": %s ", vm_describe_kind(kind));
	vm_describe_decl(module, kind, index, text);
	buf_text(text, "\n");
}

static void inspect_text_imports(const struct wasm_module *module,
				 struct buf *text)
{
	if (module->import_count)
		buf_text(text, "imports:\n");
	for (uint32_t i = 0; i < module->import_count; i++) {
		const struct wasm_import *import = &module->imports[i];

		buf_text(text, "  \"");
		vm_describe_name(import->module, text);
		buf_text(text, "\" \"");
		vm_describe_name(import->name, text);
		buf_text(text, "\"");
		inspect_text_item(module, import->kind, import->index, text);
	}
}

static void inspect_text_exports(const struct wasm_module *module,
				 struct buf *text)
{
	if (module->export_count)
		buf_text(text, "exports:\n");
	for (uint32_t i = 0; i < module->export_count; i++) {
		const struct wasm_export *item = &module->exports[i];

		buf_text(text, "  \"");
		vm_describe_name(item->name, text);
		buf_text(text, "\"");
		inspect_text_item(module, item->kind, item->index, text);
	}
}

static void inspect_text_memories(const struct wasm_module *module,
				  struct buf *text)
{
	if (module->memory_count)
		buf_text(text, "memories:\n");
	for (uint32_t i = 0; i < module->memory_count; i++) {
		buf_format(text, "  %u: ", i);
		vm_describe_decl(module, WASM_EXTERN_MEMORY, i, text);
		buf_format(text, " pages%s\n",
			   i < module->imported_memories ? ", imported" : "");
	}
}

static void inspect_text_counts(const struct wasm_module *module,
				struct buf *text)
{
	struct inspect_names names = inspect_names(module);

	buf_format(text,
		   "functions: %u, of which %u are imported\n"
		   "tables: %u, globals: %u, tags: %u, types: %u, element "
		   "segments: %u, data segments: %u\n",
		   module->function_count, module->imported_functions,
		   module->table_count, module->global_count, module->tag_count,
		   module->type_count, module->elem_count, module->data_count);
	if (!module->names.text)
		return;
	buf_text(text, "names: ");
	if (names.module.len) {
		buf_text(text, "module \"");
		vm_describe_name(names.module, text);
		buf_text(text, "\", ");
	}
	buf_format(text, "%llu functions\n",
		   (unsigned long long)names.functions);
}

void wasm_inspect_text(const struct wasm_module *module, struct buf *text)
{
	buf_format(text, "module: %zu bytes\n", module->len);
	inspect_text_counts(module, text);
	inspect_text_sections(module, text);
	inspect_text_imports(module, text);
	inspect_text_exports(module, text);
	inspect_text_memories(module, text);
}

/* JSON. */

/* A name with a 0 byte in it is shown as text shows it. */
static void inspect_json_name(struct json *json, const char *key,
			      struct wasm_name name)
{
	auto_buf struct buf text = { 0 };

	if (name.len && memchr(name.text, 0, name.len))
		vm_describe_name(name, &text);
	else
		buf_add(&text, name.text, name.len);
	json_text(json, key, buf_string(&text));
}

static void inspect_json_limits(struct json *json,
				const struct wasm_limits *limits)
{
	json_number(json, "least", (int64_t)limits->least);
	if (limits->has_most)
		json_number(json, "most", (int64_t)limits->most);
	json_bool(json, "is64", limits->is64);
	json_bool(json, "shared", limits->is_shared);
}

static void inspect_json_item(struct json *json,
			      const struct wasm_module *module,
			      enum wasm_extern_kind kind, uint32_t index)
{
	auto_buf struct buf type = { 0 };

	vm_describe_decl(module, kind, index, &type);
	json_text(json, "kind", vm_describe_kind(kind));
	json_number(json, "index", index);
	json_text(json, "type", buf_string(&type));
}

static void inspect_json_sections(struct json *json,
				  const struct wasm_module *module)
{
	struct inspect_section section;
	uint64_t at = 8;

	json_list_open(json, "sections");
	while (inspect_next(module, &at, &section)) {
		json_open(json, NULL);
		json_text(json, "section", inspect_section_name(&section));
		if (section.id == 0)
			inspect_json_name(json, "name", section.name);
		json_number(json, "bytes", (int64_t)section.len);
		json_number(json, "offset", (int64_t)section.offset);
		json_close(json);
	}
	json_list_close(json);
}

static void inspect_json_imports(struct json *json,
				 const struct wasm_module *module)
{
	json_list_open(json, "imports");
	for (uint32_t i = 0; i < module->import_count; i++) {
		const struct wasm_import *import = &module->imports[i];

		json_open(json, NULL);
		inspect_json_name(json, "module", import->module);
		inspect_json_name(json, "name", import->name);
		inspect_json_item(json, module, import->kind, import->index);
		json_close(json);
	}
	json_list_close(json);
}

static void inspect_json_exports(struct json *json,
				 const struct wasm_module *module)
{
	json_list_open(json, "exports");
	for (uint32_t i = 0; i < module->export_count; i++) {
		const struct wasm_export *item = &module->exports[i];

		json_open(json, NULL);
		inspect_json_name(json, "name", item->name);
		inspect_json_item(json, module, item->kind, item->index);
		json_close(json);
	}
	json_list_close(json);
}

static void inspect_json_memories(struct json *json,
				  const struct wasm_module *module)
{
	json_list_open(json, "memories");
	for (uint32_t i = 0; i < module->memory_count; i++) {
		const struct wasm_limits *limits = &module->memories[i].limits;

		json_open(json, NULL);
		inspect_json_limits(json, limits);
		json_number(json, "page_bytes",
			    INT64_C(1) << limits->page_log2);
		json_bool(json, "imported", i < module->imported_memories);
		json_close(json);
	}
	json_list_close(json);
}

static void inspect_json_counts(struct json *json,
				const struct wasm_module *module)
{
	struct inspect_names names = inspect_names(module);

	json_number(json, "bytes", (int64_t)module->len);
	json_number(json, "types", module->type_count);
	json_number(json, "functions", module->function_count);
	json_number(json, "imported_functions", module->imported_functions);
	json_number(json, "tables", module->table_count);
	json_number(json, "globals", module->global_count);
	json_number(json, "tags", module->tag_count);
	json_number(json, "element_segments", module->elem_count);
	json_number(json, "data_segments", module->data_count);
	if (names.module.len)
		inspect_json_name(json, "name", names.module);
	json_number(json, "function_names", (int64_t)names.functions);
}

void wasm_inspect_json(const struct wasm_module *module, struct buf *text)
{
	struct json json;

	json_start(&json, text);
	json_open(&json, NULL);
	inspect_json_counts(&json, module);
	inspect_json_sections(&json, module);
	inspect_json_imports(&json, module);
	inspect_json_exports(&json, module);
	inspect_json_memories(&json, module);
	json_close(&json);
	buf_text(text, "\n");
}
