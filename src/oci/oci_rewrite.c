/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_rewrite.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "oci/oci_edit.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool rewrite_is(const char *json, const char *path, const char *word)
{
	auto_free char *text = json_get_text(json, path);

	return text && strcmp(text, word) == 0;
}

static bool rewrite_is_dev(const char *mount)
{
	auto_free char *to = json_get_text(mount, "destination");
	size_t len = to ? strlen(to) : 0;

	while (len > 1 && to[len - 1] == '/')
		len--;
	return len == 4 && memcmp(to, "/dev", 4) == 0;
}

const char *oci_place(const char *config)
{
	bool is_tmpfs = false;
	const char *list, *at;
	size_t len;

	list = json_get_value(config, "mounts", &len);
	at = list ? json_first(list, &len) : NULL;
	for (; at; at = json_next(at, &len))
		if (rewrite_is_dev(at))
			is_tmpfs = rewrite_is(at, "type", "tmpfs");
	return is_tmpfs ? "/dev/.brood" : "/.brood";
}

/* ---- the process -------------------------------------------------------------- */

enum { OWN_BROOD, OWN_CODE, OWN_KVM, OWN_READY, OWN_TIP, OWN_COUNT };
static const char *const own_names[OWN_COUNT] = { "brood", "code", "kvm",
						  "ready", "tip" };

void oci_starter_fini(struct oci_starter *starter)
{
	for (size_t i = 0; i < OWN_COUNT; i++)
		free(starter->own[i]);
	while (starter->folder_count)
		free(starter->folder[--starter->folder_count]);
}

static void starter_add(struct oci_starter *starter, const char *word)
{
	starter->word[starter->count++] = word;
}

static void starter_add_own(struct oci_starter *starter, const char *option,
			    int own)
{
	starter_add(starter, option);
	starter_add(starter, starter->own[own]);
}

static int starter_add_folder(struct oci_starter *starter, const char *name,
			      struct err *err)
{
	char *word = file_format("%s::%s", name, name);

	if (!word)
		return err_set(err, -ENOMEM, "the starter's words");
	if (starter->folder_count == OCI_FOLDERS_MOST || strstr(name, "::") ||
	    !*name) {
		free(word);
		return err_set(err, -EINVAL,
			       "the folder \"%.64s\" cannot be granted", name);
	}
	starter->folder[starter->folder_count++] = word;
	starter_add(starter, "--dir");
	starter_add(starter, word);
	return 0;
}

/* A tip's program has what it had; a module the whole of the container. */
static int starter_add_folders(struct oci_starter *starter,
			       const struct oci_start *start, struct err *err)
{
	const char *at = start->folders ? start->folders->data : NULL;
	const char *end = at ? at + start->folders->len : NULL;
	int rc = 0;

	if (!start->tip) {
		starter_add(starter, "--dir");
		starter_add(starter, "/::/");
	}
	for (; rc >= 0 && at < end; at += strlen(at) + 1)
		rc = starter_add_folder(starter, at, err);
	return rc;
}

static void starter_add_domain(struct oci_starter *starter,
			       const struct oci_start *start)
{
	starter_add(starter, "--in");
	starter_add(starter, "domain");
	starter_add(starter, "--require-kvm");
	if (start->kvm)
		starter_add_own(starter, "--kvm", OWN_KVM);
	if (start->ready)
		starter_add_own(starter, "--ready", OWN_READY);
}

/* What it goes on from is no word in front of the arguments, which may begin
 * as options do. */
static void starter_add_program(struct oci_starter *starter,
				const struct oci_start *start)
{
	if (!start->tip) {
		starter_add(starter, start->module);
		return;
	}
	starter_add_own(starter, "--given", OWN_TIP);
	starter_add(starter, "--from");
	starter_add(starter, start->module);
	starter_add(starter, "--");
}

int oci_starter_words(const struct oci_start *start,
		      struct oci_starter *starter, struct err *err)
{
	int rc;

	*starter = (struct oci_starter){ .count = 0 };
	for (size_t i = 0; i < OWN_COUNT; i++) {
		starter->own[i] = file_join(start->place, own_names[i]);
		if (!starter->own[i])
			return err_set(err, -ENOMEM, "the starter's words");
	}
	starter_add(starter, starter->own[OWN_BROOD]);
	starter_add(starter, "run");
	starter_add(starter, "--env-all");
	rc = starter_add_folders(starter, start, err);
	if (rc < 0)
		return rc;
	starter_add(starter, "--cache");
	starter_add(starter, "off");
	if (start->code)
		starter_add_own(starter, "--code", OWN_CODE);
	if (start->in_domain)
		starter_add_domain(starter, start);
	for (int i = 0; i < start->options && i < OCI_OPTIONS_MOST; i++)
		starter_add(starter, start->option[i]);
	starter_add_program(starter, start);
	return 0;
}

/* In JSON, without the brackets. */
static void rewrite_words(const char *const *word, int count, struct buf *to)
{
	struct json json;

	json_start(&json, to);
	for (int i = 0; i < count; i++)
		json_text(&json, NULL, word[i]);
}

int oci_rewrite_words(struct buf *json, const char *path,
		      const char *const *word, int count, struct err *err)
{
	auto_free char *args = file_format("%s%sargs", path, *path ? "." : "");
	auto_buf struct buf words = { 0 };
	const char *list, *first;
	size_t len = 0, first_len = 0;

	if (!args)
		return err_set(err, -ENOMEM, "rewrite a process");
	list = json_get_value(buf_string(json), args, &len);
	first = list ? json_first(list, &first_len) : NULL;
	if (!first)
		return err_set(err, -EPROTO, "%s: no words", args);
	first += first_len;
	buf_text(&words, "[");
	rewrite_words(word, count, &words);
	buf_add(&words, first, (size_t)(list + len - first));
	return words.failed ? err_set(err, -ENOMEM, "rewrite a process")
			    : oci_edit_set(json, path, "args", words.data, err);
}

int oci_rewrite_process(struct buf *json, const char *path,
			const struct oci_start *start, struct err *err)
{
	auto_starter struct oci_starter starter;
	int rc = oci_starter_words(start, &starter, err);

	return rc < 0 ? rc
		      : oci_rewrite_words(json, path, starter.word,
					  starter.count, err);
}

/* ---- variables ------------------------------------------------------------------ */

bool oci_is_variable(const char *text, const char *variable)
{
	size_t len = strcspn(variable, "=");

	return strncmp(text, variable, len) == 0 && text[len] == '=';
}

static bool rewrite_is_set(const char *text, char *const *variable)
{
	for (; *variable; variable++)
		if (oci_is_variable(text, *variable))
			return true;
	return false;
}

int oci_rewrite_variables(struct buf *json, const char *path,
			  char *const *variable, struct err *err)
{
	auto_free char *env = file_format("%s%senv", path, *path ? "." : "");
	auto_buf struct buf value = { 0 };
	const char *list, *at;
	struct json out;
	size_t len;
	int rc = 0;

	if (!env)
		return err_set(err, -ENOMEM, "the environment");
	if (!*variable)
		return 0;
	json_start(&out, &value);
	json_list_open(&out, NULL);
	list = json_get_value(buf_string(json), env, &len);
	at = list ? json_first(list, &len) : NULL;
	for (; rc >= 0 && at; at = json_next(at, &len)) {
		auto_free char *text = NULL;

		rc = oci_text(at, "", &text, err);
		if (text && !rewrite_is_set(text, variable))
			json_text(&out, NULL, text);
	}
	for (; *variable; variable++)
		json_text(&out, NULL, *variable);
	json_list_close(&out);
	if (rc < 0)
		return rc;
	return value.failed ? err_set(err, -ENOMEM, "the environment")
			    : oci_edit_set(json, path, "env", value.data, err);
}

/* ---- mounts and devices ---------------------------------------------------------- */

int oci_rewrite_bind(struct buf *text, const char *source, const char *place,
		     const char *name, struct err *err)
{
	static const char *const options[] = { "bind", "ro", "nosuid",
					       "nodev" };
	auto_free char *to = file_join(place, name);
	auto_buf struct buf item = { 0 };
	struct json json;

	if (!to)
		return err_set(err, -ENOMEM, "mount %s", source);
	json_start(&json, &item);
	json_open(&json, NULL);
	json_text(&json, "destination", to);
	json_text(&json, "type", "bind");
	json_text(&json, "source", source);
	json_list_open(&json, "options");
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		json_text(&json, NULL, options[i]);
	json_list_close(&json);
	json_close(&json);
	return item.failed ? err_set(err, -ENOMEM, "mount %s", source)
			   : oci_edit_add(text, "", "mounts", item.data, err);
}

static int rewrite_mounts(struct buf *text, const struct oci_start *start,
			  struct err *err)
{
	const char *const sources[OWN_COUNT] = {
		[OWN_BROOD] = start->starter,
		[OWN_CODE] = start->code,
		[OWN_KVM] = start->in_domain ? start->kvm : NULL,
		[OWN_READY] = start->in_domain ? start->ready : NULL,
		[OWN_TIP] = start->tip,
	};
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < OWN_COUNT; i++)
		if (sources[i])
			rc = oci_rewrite_bind(text, sources[i], start->place,
					      own_names[i], err);
	return rc;
}

/* What is mounted from beside config.json is looked for from where that was. */
static int rewrite_source(struct oci_bundle *bundle, int number,
			  const char *mount, struct err *err)
{
	auto_free char *source = NULL, *whole = NULL;
	auto_buf struct buf value = { 0 };
	char path[32];
	struct json json;
	int rc = oci_text(mount, "source", &source, err);

	if (rc < 0 || !source || !*source || source[0] == '/' ||
	    !strchr(source, '/'))
		return rc;
	snprintf(path, sizeof path, "mounts.%d", number);
	whole = file_join(bundle->path, source);
	json_start(&json, &value);
	if (whole)
		json_text(&json, NULL, whole);
	return !whole || value.failed
		       ? err_set(err, -ENOMEM, "mount %s", source)
		       : oci_edit_set(&bundle->text, path, "source", value.data,
				      err);
}

static int rewrite_sources(struct oci_bundle *bundle, struct err *err)
{
	int rc = 0;

	for (int i = 0; rc >= 0; i++) {
		char path[32];
		const char *mount;
		size_t len;

		snprintf(path, sizeof path, "mounts.%d", i);
		mount = json_get_value(buf_string(&bundle->text), path, &len);
		if (!mount)
			break;
		rc = rewrite_source(bundle, i, mount, err);
	}
	return rc;
}

static bool rewrite_has_kvm(const char *config)
{
	const char *list, *at;
	size_t len;

	list = json_get_value(config, "linux.devices", &len);
	at = list ? json_first(list, &len) : NULL;
	for (; at; at = json_next(at, &len))
		if (rewrite_is(at, "path", "/dev/kvm"))
			return true;
	return false;
}

int oci_rewrite_kvm(struct buf *text, struct err *err)
{
	int rc = 0;

	if (!rewrite_has_kvm(buf_string(text)))
		rc = oci_edit_add(text, "linux", "devices",
				  "{\"path\":\"/dev/kvm\",\"type\":\"c\","
				  "\"major\":10,\"minor\":232,"
				  "\"fileMode\":438,\"uid\":0,\"gid\":0}",
				  err);
	return rc < 0 ? rc
		      : oci_edit_add(text, "linux.resources", "devices",
				     "{\"allow\":true,\"type\":\"c\","
				     "\"major\":10,\"minor\":232,"
				     "\"access\":\"rw\"}",
				     err);
}

static int rewrite_root(struct oci_bundle *bundle, struct err *err)
{
	auto_buf struct buf value = { 0 };
	struct json json;

	json_start(&json, &value);
	json_text(&json, NULL, bundle->root);
	return value.failed ? err_set(err, -ENOMEM, "root.path")
			    : oci_edit_set(&bundle->text, "root", "path",
					   value.data, err);
}

int oci_rewrite_paths(struct oci_bundle *bundle, struct err *err)
{
	int rc = rewrite_root(bundle, err);

	return rc < 0 ? rc : rewrite_sources(bundle, err);
}

int oci_rewrite(struct oci_bundle *bundle, const struct oci_start *start,
		struct err *err)
{
	struct buf *text = &bundle->text;
	int rc = oci_rewrite_process(text, "process", start, err);

	if (rc >= 0)
		rc = oci_rewrite_paths(bundle, err);
	if (rc >= 0)
		rc = rewrite_mounts(text, start, err);
	if (rc >= 0 && start->in_domain)
		rc = oci_rewrite_kvm(text, err);
	return rc;
}
