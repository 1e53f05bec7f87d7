/* SPDX-License-Identifier: Apache-2.0 */
/* delete, state and list: the runtime's answers, about bundles that are the
 * engine's. */
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "oci/oci_bundle.h"
#include "oci/oci_cgroup.h"
#include "oci/oci_commands.h"
#include "oci/oci_edit.h"
#include "oci/oci_runtime.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int oci_hand_over(const struct oci_words *words, struct err *err)
{
	auto_record_oci struct oci_record record;
	auto_free char *runtime = NULL, *own = NULL;
	auto_free char **argv = NULL;

	/* Its container may have been made by another than is chosen now. */
	if (oci_record_read(words, &record, NULL) > 0)
		runtime = steal_ptr(&record.runtime);
	else
		runtime = oci_runtime_find(err);
	if (!runtime)
		return err ? err->code : -ENOENT;
	argv = oci_words_change(words, runtime, 0, NULL, &own);
	return argv ? oci_runtime_become(runtime, argv, err)
		    : err_set(err, -ENOMEM, "words for %s", runtime);
}

int oci_ask_state(const struct oci_words *words, const char *runtime,
		  struct buf *answer, struct err *err)
{
	const char *argv[8] = { runtime };
	int count = 1;

	if (words->root) {
		argv[count++] = "--root";
		argv[count++] = words->root;
	}
	/* What it says of an ID that it does not know is for nobody. */
	argv[count++] = "--log";
	argv[count++] = "/dev/null";
	argv[count++] = "state";
	argv[count++] = words->id;
	return oci_runtime_run(runtime, (char *const *)argv, answer, true, err);
}

static int ask_words(const struct oci_words *words, const char *runtime,
		     struct buf *answer, struct err *err)
{
	auto_free char *own = NULL;
	auto_free char **argv = oci_words_change(words, runtime, 0, NULL, &own);

	return argv ? oci_runtime_run(runtime, argv, answer, false, err)
		    : err_set(err, -ENOMEM, "words for %s", runtime);
}

static int ask_print(const struct buf *text, struct err *err)
{
	return fd_write_all(STDOUT_FILENO, buf_string(text), text->len, err);
}

/* ---- delete ---------------------------------------------------------------------- */

bool oci_seems_there(const struct oci_words *words)
{
	auto_free char *root = oci_record_root(words);
	auto_free char *path = root ? file_join(root, words->id) : NULL;

	return path && access(path, F_OK) == 0;
}

/* Of a container that the runtime does not know. */
static int delete_left(const struct oci_words *words, struct err *err)
{
	auto_free char *path = oci_record_path(words, NULL);
	auto_free char *config = path ? file_join(path, "config.json") : NULL;
	auto_buf struct buf text = { 0 };

	if (config && oci_json_read(config, &text, NULL) >= 0)
		oci_cgroup_remove(buf_string(&text), words->id);
	return oci_record_remove(words, err);
}

/* The runtime may never have had it, or lost it: then what is left of ours
 * goes, and that is a delete too. */
static int delete_ours(const struct oci_words *words, const char *runtime,
		       struct err *err)
{
	auto_buf struct buf answer = { 0 };
	bool is_there = oci_seems_there(words);
	int code = 0, gone;

	if (is_there)
		code = ask_words(words, runtime, NULL, err);
	if (code == 0 && is_there)
		return oci_record_remove(words, err);
	gone = code < 0 ? 0 : oci_ask_state(words, runtime, &answer, err);
	if (gone == 0 && !is_there)
		code = ask_words(words, runtime, NULL, err);
	if (gone > 0)
		return delete_left(words, err) < 0 ? -EPROTO : code;
	if (code == 0 && !is_there)
		return oci_record_remove(words, err) < 0 ? -EPROTO : code;
	return gone < 0 ? gone : code;
}

/* A record that cannot be read goes with the rest. */
int oci_delete(const struct oci_words *words, struct err *err)
{
	auto_record_oci struct oci_record record;
	auto_free char *runtime = NULL;
	int rc = oci_record_read(words, &record, err);

	if (rc == -EPERM)
		return rc;
	err_clear(err);
	if (rc == 0) {
		if (oci_words_check_id(words->id, NULL) == 0)
			oci_record_remove(words, NULL);
		return oci_hand_over(words, err);
	}
	runtime = rc < 0 ? oci_runtime_find(err) : steal_ptr(&record.runtime);
	return runtime ? delete_ours(words, runtime, err)
		       : (err ? err->code : -ENOENT);
}

/* ---- state and list ---------------------------------------------------------------- */

static int ask_set_bundle(struct buf *text, const char *path,
			  const char *bundle, struct err *err)
{
	auto_buf struct buf value = { 0 };
	struct json json;

	json_start(&json, &value);
	json_text(&json, NULL, bundle);
	return value.failed
		       ? err_set(err, -ENOMEM, "an answer")
		       : oci_edit_set(text, path, "bundle", value.data, err);
}

int oci_state(const struct oci_words *words, struct err *err)
{
	auto_record_oci struct oci_record record;
	auto_buf struct buf answer = { 0 };
	int rc = oci_record_read(words, &record, err), code;

	if (rc <= 0)
		return rc < 0 ? rc : oci_hand_over(words, err);
	code = ask_words(words, record.runtime, &answer, err);
	if (code == 0)
		rc = json_check(buf_string(&answer), answer.len, err);
	if (code == 0 && rc >= 0)
		rc = ask_set_bundle(&answer, "", record.bundle, err);
	if (code < 0 || rc < 0)
		return code < 0 ? code : rc;
	rc = ask_print(&answer, err);
	return rc < 0 ? rc : code;
}

/* Of one container in a list, where it is ours. */
static int list_one(const struct oci_words *words, struct buf *text,
		    const char *path, struct err *err)
{
	auto_free char *whole = file_format("%s.id", path);
	auto_free char *id = whole ? json_get_text(text->data, whole) : NULL;
	auto_record_oci struct oci_record record;
	struct oci_words its = *words;

	its.id = id;
	return oci_record_read(&its, &record, NULL) > 0
		       ? ask_set_bundle(text, path, record.bundle, err)
		       : 0;
}

static int list_all(const struct oci_words *words, struct buf *text,
		    struct err *err)
{
	int rc = json_check(buf_string(text), text->len, err);

	for (int i = 0; rc >= 0; i++) {
		char path[16];
		size_t len;

		snprintf(path, sizeof path, "%d", i);
		if (!json_get_value(text->data, path, &len))
			break;
		rc = list_one(words, text, path, err);
	}
	return rc;
}

/* The table for people is passed on as it is. */
int oci_list(const struct oci_words *words, struct err *err)
{
	auto_free char *folder = oci_record_folder(words, err);
	auto_free char *runtime = oci_runtime_find(err);
	auto_buf struct buf answer = { 0 };
	int code, rc;

	if (!folder || !runtime)
		return err ? err->code : -ENOMEM;
	if (!words->json_list || access(folder, F_OK) < 0)
		return oci_hand_over(words, err);
	code = ask_words(words, runtime, &answer, err);
	rc = code == 0 ? list_all(words, &answer, err) : 0;
	if (code < 0 || rc < 0)
		return code < 0 ? code : rc;
	rc = ask_print(&answer, err);
	return rc < 0 ? rc : code;
}
