/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/context.h"
#include "appliance/lines.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { CONTEXT_LINKS_MOST = 16, CONTEXT_HOST = 32 };

/* ---- lines ------------------------------------------------------------------- */

static int *context_time_of(struct context *context, const char *key)
{
	if (strcmp(key, "wait-ms") == 0)
		return &context->wait_ms;
	if (strcmp(key, "answer-ms") == 0)
		return &context->answer_ms;
	if (strcmp(key, "deadline-ms") == 0)
		return &context->deadline_ms;
	return strcmp(key, "rejoin-ms") == 0 ? &context->rejoin_ms : NULL;
}

static const char **context_text_of(struct context *context, const char *key)
{
	const struct {
		const char *key, **at;
	} texts[] = {
		{ "name", &context->name },
		{ "share", &context->share },
		{ "share-id", &context->share_id },
		{ "host", &context->host },
		{ "mounts", &context->mounts },
		{ "copy", &context->copy },
		{ "appliance", &context->appliance },
		{ "brood", &context->brood },
		{ "hatch", &context->hatch },
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strcmp(key, texts[i].key) == 0)
			return texts[i].at;
	return NULL;
}

/* "ENTRY PATH", and behind it "saved PATH" where something was there. */
static int context_take_path(struct context *context, char *value,
			     struct err *err)
{
	struct context_path *path = &context->path[context->path_count];
	char *space = strchr(value, ' ');

	if (!space || space[1] != '/' || context->path_count == CONTEXT_PATHS)
		return err_set(err, -EINVAL, "\"path %.60s\" is wrong", value);
	*space = 0;
	*path = (struct context_path){ value, space + 1, NULL };
	context->path_count++;
	return record_is_name(value)
		       ? 0
		       : err_set(err, -EINVAL, "\"path %.60s\" is wrong",
				 value);
}

static int context_visit(const char *key, char *value, void *taken,
			 struct err *err)
{
	struct context *context = taken;
	const char **text = context_text_of(context, key);
	int *time = context_time_of(context, key);
	uint64_t number;

	if (text) {
		*text = value;
		return 0;
	}
	if (time && lines_number(value, INT_MAX, &number)) {
		*time = (int)number;
		return 0;
	}
	if (strcmp(key, "path") == 0)
		return context_take_path(context, value, err);
	if (strcmp(key, "saved") == 0 && context->path_count && *value == '/') {
		context->path[context->path_count - 1].saved = value;
		return 0;
	}
	return err_set(err, -EINVAL, "\"%.30s\" is not known", key);
}

static int context_complete(const struct context *context, struct err *err)
{
	const char *const paths[] = { context->share, context->mounts };

	if (!context->name || !record_is_name(context->name) ||
	    !context->share_id || !context->host)
		return err_set(err, -EINVAL, "name, share or host is missing");
	for (int i = 0; i < 2; i++)
		if (!paths[i] || *paths[i] != '/')
			return err_set(err, -EINVAL,
				       "share or mounts is no absolute path");
	return 0;
}

static int context_parse(struct context *context, struct buf *text,
			 struct err *err)
{
	size_t len = text->len;
	int rc;

	context->text = buf_steal(text);
	if (!context->text)
		return err_set(err, -EINVAL, "is empty");
	rc = lines_read(context->text, len, CONTEXT_HEAD, context_visit,
			context, err);
	return rc < 0 ? rc : context_complete(context, err);
}

/* Of this user or of root, and written by nobody else. */
static int context_load(const char *path, struct buf *text, struct err *err)
{
	auto_close int fd = file_open_trusted(path, err);
	char part[1024];
	ssize_t len;

	if (fd < 0)
		return fd;
	while ((len = read(fd, part, sizeof part)) > 0 &&
	       text->len <= LINES_BYTES_MOST)
		buf_add(text, part, (size_t)len);
	if (len < 0 || text->failed)
		return err_set(err, len < 0 ? -errno : -ENOMEM, "read %s",
			       path);
	return 0;
}

int context_read(const char *folder, struct context *context, struct err *err)
{
	auto_buf struct buf text = { 0 };
	auto_free char *path = file_join(folder, "context");
	int rc;

	*context = (struct context){ .folder = strdup(folder) };
	if (!path || !context->folder)
		rc = err_set(err, -ENOMEM, "read the context %s", folder);
	else
		rc = context_load(path, &text, err);
	if (rc >= 0 && context_parse(context, &text, err) < 0)
		rc = err_wrap(err, "%s", path);
	if (rc < 0)
		context_fini(context);
	return rc;
}

void context_fini(struct context *context)
{
	free(context->folder);
	free(context->text);
	*context = (struct context){ 0 };
}

static int context_put_text(struct buf *out, const char *key, const char *value,
			    struct err *err)
{
	return value ? lines_put(out, err, key, "%s", value) : 0;
}

int context_write(const struct context *context, struct buf *out,
		  struct err *err)
{
	int rc = 0;

	lines_start(out, CONTEXT_HEAD);
	rc |= context_put_text(out, "name", context->name, err);
	rc |= context_put_text(out, "share", context->share, err);
	rc |= context_put_text(out, "share-id", context->share_id, err);
	rc |= context_put_text(out, "host", context->host, err);
	rc |= context_put_text(out, "mounts", context->mounts, err);
	rc |= context_put_text(out, "copy", context->copy, err);
	rc |= context_put_text(out, "appliance", context->appliance, err);
	rc |= context_put_text(out, "brood", context->brood, err);
	rc |= context_put_text(out, "hatch", context->hatch, err);
	rc |= lines_put(out, err, "wait-ms", "%d", context->wait_ms);
	rc |= lines_put(out, err, "answer-ms", "%d", context->answer_ms);
	rc |= lines_put(out, err, "deadline-ms", "%d", context->deadline_ms);
	rc |= lines_put(out, err, "rejoin-ms", "%d", context->rejoin_ms);
	for (int i = 0; i < context->path_count; i++) {
		const struct context_path *path = &context->path[i];

		rc |= lines_put(out, err, "path", "%s %s", path->entry,
				path->path);
		rc |= context_put_text(out, "saved", path->saved, err);
	}
	return rc < 0 ? -EINVAL : lines_end(out, err);
}

int context_record_text(const struct context *context, struct buf *text,
			struct err *err)
{
	auto_free char *path = file_join(context->folder, "record");

	return path ? context_load(path, text, err)
		    : err_set(err, -ENOMEM, "read a record");
}

int context_record(const struct context *context, struct record *record,
		   struct err *err)
{
	auto_buf struct buf text = { 0 };
	int rc = context_record_text(context, &text, err);

	*record = (struct record){ .release = "" };
	if (rc >= 0 &&
	    record_read(buf_string(&text), text.len, record, err) < 0)
		rc = err_wrap(err, "%s/record", context->folder);
	return rc;
}

char *context_copy(const struct context *context, const struct record *record)
{
	return context->copy ? file_format("%s.%.16s.erofs", context->copy,
					   record->payload)
			     : NULL;
}

void context_limits(const struct context *context, struct helper_limits *limits)
{
	limits->total_ms = context->deadline_ms;
	limits->silent_ms = context->answer_ms;
	limits->keep_fd = 0;
}

/* ---- found by its start path --------------------------------------------------- */

/* Where a link leads, one step; NULL: it is none. */
static char *context_step(const char *path)
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof target - 1);
	const char *slash = strrchr(path, '/');

	if (len <= 0)
		return NULL;
	target[len] = 0;
	if (*target == '/' || !slash)
		return strdup(target);
	return file_format("%.*s%s", (int)(slash + 1 - path), path, target);
}

/* APPS/NAME/bin/ENTRY, with a context: the parts are cut out of it.  Others
 * have folders bin, and something called context, too; not the link. */
static bool context_is_entry(const char *path, char **folder, char **entry)
{
	static const char start[] = "../../.start/";
	char target[sizeof start - 1];
	const char *name = file_base(path);
	size_t len = (size_t)(name - path);
	auto_free char *file = NULL;

	if (len < 5 || strncmp(name - 5, "/bin/", 5) != 0 ||
	    readlink(path, target, sizeof target) != sizeof target ||
	    memcmp(target, start, sizeof target) != 0)
		return false;
	file = file_format("%.*s/context", (int)(len - 5), path);
	if (!file || access(file, F_OK) < 0)
		return false;
	*folder = strndup(path, len - 5);
	*entry = strdup(name);
	return *folder && *entry;
}

int context_of(const char *executed, char **folder, char **entry,
	       struct err *err)
{
	char *path = strdup(executed);

	*folder = *entry = NULL;
	for (int i = 0; path && i < CONTEXT_LINKS_MOST; i++) {
		char *next;

		if (context_is_entry(path, folder, entry)) {
			free(path);
			return 0;
		}
		next = context_step(path);
		free(path);
		path = next;
	}
	free(path);
	return err_set(err, -EINVAL,
		       "%s leads to no installed application; \"brood app "
		       "ls\" lists them",
		       executed);
}

/* ---- state ------------------------------------------------------------------- */

void context_state(const struct context *context, struct context_state *state)
{
	auto_free char *path = file_join(context->folder, "state");
	auto_buf struct buf text = { 0 };
	long since;
	int at = 0;

	*state = (struct context_state){ 0 };
	if (!path || file_read(path, &text, 1024, NULL) < 0 ||
	    sscanf(buf_string(&text), "independent %ld %n", &since, &at) < 1 ||
	    !at || since < 0)
		return;
	state->independent = true;
	state->since_s = since;
	snprintf(state->reason, sizeof state->reason, "%.*s",
		 (int)strcspn(text.data + at, "\n"), text.data + at);
	for (char *word = state->reason; *word; word++)
		if ((unsigned char)*word < ' ' || *word == 0x7f)
			*word = '?'; /* it is for terminals */
}

int context_set_state(const struct context *context, const char *reason,
		      struct err *err)
{
	auto_free char *path = file_join(context->folder, "state");
	auto_buf struct buf text = { 0 };

	if (!path)
		return err_set(err, -ENOMEM, "keep the state");
	if (!reason)
		return unlink(path) < 0 && errno != ENOENT
			       ? err_set(err, -errno, "remove %s", path)
			       : 0;
	buf_format(&text, "independent %ld %s\n",
		   (long)(clock_wall_ns() / 1000000000u), reason);
	return file_replace(path, buf_string(&text), text.len, 0644, err);
}

/* ---- places ------------------------------------------------------------------- */

char *context_root(struct err *err)
{
	const char *given = getenv("BROOD_APPS");
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	char *root = NULL;

	if (given && *given == '/')
		root = strdup(given);
	else if (geteuid() == 0)
		root = strdup("/var/lib/brood/apps");
	else if (data && *data == '/')
		root = file_format("%s/brood/apps", data);
	else if (home && *home == '/')
		root = file_format("%s/.local/share/brood/apps", home);
	else
		errno = ENOENT;
	if (!root)
		err_set(err, -errno, "find where applications are installed");
	return root;
}

char *context_mounts(const char *root, struct err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *mounts = NULL;

	if (getenv("BROOD_APPS"))
		mounts = file_join(root, ".mounts");
	else if (geteuid() == 0)
		mounts = strdup("/run/brood/mounts");
	else if (runtime && *runtime == '/')
		mounts = file_format("%s/brood/mounts", runtime);
	else
		mounts = file_format("/tmp/brood-%u/mounts", geteuid());
	if (!mounts)
		err_set(err, -ENOMEM, "find where to mount");
	return mounts;
}

char *context_folder(const char *root, const char *name, struct err *err)
{
	char *folder;

	if (!record_is_name(name)) {
		err_set(err, -EINVAL, "\"%.60s\" is no name of an application",
			name);
		return NULL;
	}
	folder = file_join(root, name);
	if (!folder)
		err_set(err, -ENOMEM, "find %s", name);
	return folder;
}

static int context_new_host(const char *path, struct err *err)
{
	uint8_t random[CONTEXT_HOST / 2];
	char hex[CONTEXT_HOST + 1];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		return err_set(err, -errno, "random bytes");
	hash_bytes_hex(random, sizeof random, hex);
	return file_publish(path, hex, CONTEXT_HOST, 0644, err);
}

int context_host(const char *root, char host[33], struct err *err)
{
	auto_free char *path = file_join(root, ".host");
	auto_buf struct buf text = { 0 };
	int rc;

	if (!path)
		return err_set(err, -ENOMEM, "read the host's name");
	if (access(path, F_OK) < 0 && (rc = context_new_host(path, err)) < 0)
		return rc;
	rc = file_read(path, &text, CONTEXT_HOST, err);
	if (rc < 0)
		return rc;
	if (text.len != CONTEXT_HOST ||
	    strspn(buf_string(&text), "0123456789abcdef") != CONTEXT_HOST)
		return err_set(err, -EINVAL, "%s is damaged; remove it", path);
	memcpy(host, text.data, CONTEXT_HOST + 1);
	return 0;
}
