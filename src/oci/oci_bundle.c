/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_bundle.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OCI_VARIABLES = 4096 }; /* behind them no PATH is looked for */

void oci_bundle_close(struct oci_bundle *bundle)
{
	buf_fini(&bundle->text);
	free(bundle->path);
	free(bundle->root);
	*bundle = (struct oci_bundle){ 0 };
}

/* ---- texts ------------------------------------------------------------------ */

static int bundle_value_text(const char *value, size_t len, const char *name,
			     char **text, struct err *err)
{
	*text = json_get_text(value, "");
	/* A 0 would end the text before its end. */
	if (!*text || memmem(value, len, "\\u0000", 6)) {
		free(*text);
		*text = NULL;
		return err_set(err, -EPROTO, "%s is no text", name);
	}
	return 0;
}

int oci_text(const char *json, const char *path, char **text, struct err *err)
{
	size_t len;
	const char *value = json_get_value(json, path, &len);

	*text = NULL;
	return value ? bundle_value_text(value, len, path, text, err) : 0;
}

int oci_annotation(const struct oci_bundle *bundle, const char *name,
		   char **text, struct err *err)
{
	size_t len;
	const char *value = json_get_member(buf_string(&bundle->text),
					    "annotations", name, &len);

	*text = NULL;
	return value ? bundle_value_text(value, len, name, text, err) : 0;
}

/* ---- processes -------------------------------------------------------------- */

static int process_read_search(const char *list, struct oci_process *process,
			       struct err *err)
{
	const char *at;
	size_t len;
	int i = 0;

	for (at = json_first(list, &len); at && i < OCI_VARIABLES;
	     at = json_next(at, &len), i++) {
		auto_free char *text = NULL;

		if (strncmp(at, "\"PATH=", 6) != 0)
			continue;
		if (bundle_value_text(at, len, "PATH", &text, err) < 0)
			return err ? err->code : -EPROTO;
		free(process->search);
		process->search = strdup(text + 5);
	}
	return 0;
}

static int process_read_text(const char *json, const char *path,
			     const char *name, char **text, struct err *err)
{
	auto_free char *whole =
		file_format("%s%s%s", path, *path ? "." : "", name);

	return whole ? oci_text(json, whole, text, err)
		     : err_set(err, -ENOMEM, "read a process");
}

int oci_process_read(const char *json, const char *path,
		     struct oci_process *process, struct err *err)
{
	auto_free char *whole = file_format("%s%senv", path, *path ? "." : "");
	const char *env;
	size_t len;
	int rc;

	*process = (struct oci_process){ 0 };
	rc = process_read_text(json, path, "args.0", &process->program, err);
	if (rc >= 0)
		rc = process_read_text(json, path, "cwd", &process->cwd, err);
	if (rc >= 0 && !process->cwd)
		process->cwd = strdup("/");
	if (rc >= 0 && (!process->cwd || !whole))
		rc = err_set(err, -ENOMEM, "read a process");
	env = rc < 0 ? NULL : json_get_value(json, whole, &len);
	return env ? process_read_search(env, process, err) : rc;
}

void oci_process_fini(struct oci_process *process)
{
	free(process->program);
	free(process->cwd);
	free(process->search);
	*process = (struct oci_process){ 0 };
}

/* ---- files ------------------------------------------------------------------ */

int oci_json_read(const char *path, struct buf *text, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EPROTO, "%s is not a regular file", path);
	rc = file_read_fd(fd, path, text, OCI_CONFIG_MOST, err);
	if (rc < 0)
		return rc;
	rc = json_check(buf_string(text), text->len, err);
	if (rc >= 0 && text->data[strspn(text->data, " \t\r\n")] != '{')
		rc = err_set(err, -EPROTO, "it is no object");
	return rc < 0 ? err_wrap(err, "%s", path) : 0;
}

static int bundle_read(struct oci_bundle *bundle, struct err *err)
{
	auto_free char *path = file_join(bundle->path, "config.json");

	return path ? oci_json_read(path, &bundle->text, err)
		    : err_set(err, -ENOMEM, "read a bundle");
}

static int bundle_find_root(struct oci_bundle *bundle, struct err *err)
{
	auto_free char *told = NULL, *joined = NULL;
	int rc = oci_text(buf_string(&bundle->text), "root.path", &told, err);

	if (rc < 0)
		return rc;
	if (!told)
		return err_set(err, -EPROTO, "root.path is missing");
	joined = told[0] == '/' ? steal_ptr(&told)
				: file_join(bundle->path, told);
	bundle->root = joined ? realpath(joined, NULL) : NULL;
	return bundle->root ? 0
			    : err_set(err, -errno, "root.path %s",
				      joined ? joined : "");
}

int oci_bundle_open(struct oci_bundle *bundle, const char *path,
		    struct err *err)
{
	int rc;

	*bundle = (struct oci_bundle){ .path = realpath(path, NULL) };
	if (!bundle->path)
		return err_set(err, -errno, "bundle %s", path);
	rc = bundle_read(bundle, err);
	return rc < 0 ? rc : bundle_find_root(bundle, err);
}
