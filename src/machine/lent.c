/* SPDX-License-Identifier: Apache-2.0 */
/* Lent folders and files: what was said of them is checked here, before
 * anything is started. */
#include "machine/lent.h"
#include "base/fd.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENT_EROFS_AT = 1024, LENT_AT_MOST = 1024 };
#define LENT_EROFS_MAGIC UINT32_C(0xe0f5e1e2)

static const char *const lent_names[LENT_HOWS] = {
	"9p", "virtiofs", "virtiofs-locks", "pmem", "device", "folder"
};

const char *lent_how_name(enum lent_how how)
{
	return lent_names[how];
}

bool lent_is_virtiofs(const struct lent_item *item)
{
	return item->how == LENT_VIRTIOFS || item->how == LENT_VIRTIOFS_LOCKS;
}

bool lent_has_virtiofs(const struct lent *lent)
{
	for (int i = 0; i < lent->count; i++)
		if (lent_is_virtiofs(&lent->item[i]))
			return true;
	return false;
}

void lent_fini(struct lent *lent)
{
	for (int i = 0; i < lent->count; i++) {
		fd_close(&lent->item[i].fd);
		free(lent->item[i].path);
		free(lent->item[i].at);
	}
	*lent = (struct lent){ 0 };
}

/* ---- tags ------------------------------------------------------------------- */

/* It becomes a name under /mnt, and a part of words for QEMU and the guest's
 * kernel. */
static bool lent_is_tag(const char *tag)
{
	return strspn(tag, "abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       strlen(tag) &&
	       *tag && *tag != '.' && *tag != '-' && strlen(tag) <= LENT_TAG;
}

static bool lent_has_tag(const struct lent *lent, const char *tag)
{
	for (int i = 0; i < lent->count; i++)
		if (strcmp(lent->item[i].tag, tag) == 0)
			return true;
	return false;
}

static int lent_set_tag(const struct lent *lent, struct lent_item *item,
			const char *tag, struct err *err)
{
	if (!lent_is_tag(tag))
		return err_set(err, -EINVAL,
			       "\"%.64s\" is no tag of a share: letters, "
			       "digits, \"._-\", at most %d",
			       tag, LENT_TAG);
	if (lent_has_tag(lent, tag))
		return err_set(err, -EINVAL, "two have the tag %s", tag);
	snprintf(item->tag, sizeof(item->tag), "%s", tag);
	return 0;
}

static bool lent_is_share(const struct lent_item *item)
{
	return item->how < LENT_PMEM;
}

/* The number of it among those of its kind. */
static void lent_count_tag(const struct lent *lent, struct lent_item *item)
{
	int number = 0;

	for (int i = 0; i < lent->count; i++)
		number += lent_is_share(item) ? lent_is_share(&lent->item[i])
					      : lent->item[i].how == item->how;
	snprintf(item->tag, sizeof(item->tag), "%s%d",
		 lent_is_share(item) ? "share" : lent_names[item->how], number);
}

/* ---- added ------------------------------------------------------------------- */

static int lent_room(const struct lent *lent, struct err *err)
{
	return lent->count < LENT_MOST
		       ? 0
		       : err_set(err, -EINVAL,
				 "more than %d shares, folders, pmems and devices",
				 LENT_MOST);
}

static int lent_put(struct lent *lent, const struct lent_item *item)
{
	lent->item[lent->count++] = *item;
	return 0;
}

static const char *lent_take_how(const char *words, enum lent_how *how)
{
	for (int i = 0; i < LENT_PMEM; i++) {
		size_t len = strlen(lent_names[i]);

		if (strncmp(words, lent_names[i], len) == 0 &&
		    words[len] == ':') {
			*how = (enum lent_how)i;
			return words + len + 1;
		}
	}
	*how = LENT_9P;
	return words;
}

static int lent_folder(struct lent_item *item, const char *path,
		       struct err *err)
{
	const char *what = item->how == LENT_FOLDER ? "folder" : "share";
	struct stat st;

	item->path = realpath(path, NULL);
	if (!item->path || stat(item->path, &st) < 0)
		return err_set(err, -errno, "%s %s", what, path);
	return S_ISDIR(st.st_mode)
		       ? 0
		       : err_set(err, -ENOTDIR, "%s %s", what, path);
}

int lent_add_share(struct lent *lent, const char *words, struct err *err)
{
	struct lent_item item = { .fd = -1 };
	const char *at = lent_take_how(words, &item.how);
	const char *sign = strrchr(at, '=');
	auto_free char *path = NULL;
	int rc = lent_room(lent, err);

	if (sign && (strchr(sign, '/') || access(at, F_OK) == 0))
		sign = NULL;
	path = sign ? strndup(at, (size_t)(sign - at)) : strdup(at);
	if (rc >= 0 && !path)
		rc = err_set(err, -ENOMEM, "share %s", words);
	if (rc >= 0 && sign)
		rc = lent_set_tag(lent, &item, sign + 1, err);
	if (!sign)
		lent_count_tag(lent, &item);
	if (rc >= 0 && !sign && lent_has_tag(lent, item.tag))
		rc = err_set(err, -EINVAL, "two have the tag %s", item.tag);
	if (rc >= 0)
		rc = lent_folder(&item, path, err);
	if (rc >= 0)
		return lent_put(lent, &item);
	free(item.path);
	return rc;
}

/* Behind the last "=/"; a folder that has such a name is not taken apart. */
static char *lent_cut_at(char *path)
{
	char *at = NULL;

	for (char *sign = path; (sign = strstr(sign, "=/")); sign++)
		at = sign;
	if (!at || access(path, F_OK) == 0)
		return NULL;
	*at = 0;
	return at + 1;
}

bool lent_is_place(const char *at)
{
	size_t len = strlen(at);

	return *at == '/' && len > 1 && len < LENT_AT_MOST &&
	       !strstr(at, "//") && !strstr(at, "/./") && !strstr(at, "/../") &&
	       strcmp(at + len - 2, "/.") != 0 &&
	       (len < 3 || strcmp(at + len - 3, "/..") != 0);
}

static int lent_check_at(const struct lent *lent, const char *at,
			 struct err *err)
{
	if (!at)
		return err_set(err, -ENOMEM, "lend a folder");
	if (!lent_is_place(at))
		return err_set(err, -EINVAL,
			       "\"%.64s\" is no place for a folder: /NAME..",
			       at);
	for (int i = 0; i < lent->count; i++)
		if (lent->item[i].at && strcmp(lent->item[i].at, at) == 0)
			return err_set(err, -EINVAL, "two folders at %s", at);
	return 0;
}

int lent_add_folder(struct lent *lent, const char *words, struct err *err)
{
	struct lent_item item = { .how = LENT_FOLDER, .fd = -1 };
	auto_free char *path = NULL;
	const char *at;
	int rc = lent_room(lent, err);

	item.read_only = strncmp(words, "ro:", 3) == 0;
	path = strdup(words + (item.read_only ? 3 : 0));
	if (rc >= 0 && !path)
		rc = err_set(err, -ENOMEM, "folder %s", words);
	if (rc < 0)
		return rc;
	at = lent_cut_at(path);
	rc = lent_folder(&item, path, err);
	snprintf(item.tag, sizeof(item.tag), "folder%d", lent->count);
	item.at = rc < 0 ? NULL : strdup(at ? at : item.path);
	if (rc >= 0)
		rc = lent_check_at(lent, item.at, err);
	if (rc >= 0)
		return lent_put(lent, &item);
	free(item.path);
	free(item.at);
	return rc;
}

static int lent_measure(struct lent_item *item, const char *path,
			struct err *err)
{
	uint32_t magic = 0;
	struct stat st;

	if (fstat(item->fd, &st) < 0)
		return err_set(err, -errno, "open %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return err_set(err, -EINVAL, "%s %s is %s",
			       lent_names[item->how], path,
			       S_ISREG(st.st_mode) ? "empty"
						   : "no regular file");
	item->bytes = (uint64_t)st.st_size;
	if (item->how == LENT_PMEM && item->bytes % LENT_PMEM_UNIT)
		return err_set(err, -EINVAL,
			       "pmem %s has %lu bytes, and not whole units of "
			       "2 MiB; \"truncate -s %%2M\" pads it",
			       path, (unsigned long)item->bytes);
	item->erofs = pread(item->fd, &magic, sizeof(magic), LENT_EROFS_AT) ==
			      sizeof(magic) &&
		      magic == LENT_EROFS_MAGIC;
	return 0;
}

int lent_add_file(struct lent *lent, enum lent_how how, const char *path,
		  struct err *err)
{
	struct lent_item item = { .how = how, .fd = -1 };
	int rc = lent_room(lent, err);

	lent_count_tag(lent, &item);
	if (rc >= 0 && lent_has_tag(lent, item.tag))
		rc = err_set(err, -EINVAL, "two have the tag %s", item.tag);
	if (rc < 0)
		return rc;
	item.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	item.path = item.fd < 0 ? NULL : realpath(path, NULL);
	rc = item.path ? lent_measure(&item, path, err)
		       : err_set(err, -errno, "%s %s", lent_names[how], path);
	if (rc >= 0)
		return lent_put(lent, &item);
	fd_close(&item.fd);
	free(item.path);
	return rc;
}

/* ---- told -------------------------------------------------------------------- */

/* QEMU aligns each to its own needs: so there is more than their sum. */
uint64_t lent_pmem_room(const struct lent *lent)
{
	const uint64_t unit = UINT64_C(1) << 30;
	uint64_t room = 0;

	for (int i = 0; i < lent->count; i++)
		if (lent->item[i].how == LENT_PMEM)
			room += (lent->item[i].bytes + 2 * unit - 1) / unit *
				unit;
	return room;
}

/* A guest whose memory could reach beyond 4 GiB sets 64 MiB of it aside for
 * devices that do not; it has none. */
void lent_kernel_words(const struct lent *lent, struct buf *to)
{
	for (int i = 0; i < lent->count; i++) {
		const struct lent_item *item = &lent->item[i];
		const char *how = lent_is_virtiofs(item) ? "virtiofs"
				  : lent_is_share(item)	 ? "9p"
				  : item->erofs		 ? "erofs"
							 : "raw";

		buf_format(to, "brood.lent=%s:%s ", how, item->tag);
	}
	if (lent_pmem_room(lent))
		buf_text(to, "swiotlb=512 ");
}

void lent_write(const struct lent *lent, struct json *json, const char *key)
{
	json_list_open(json, key);
	for (int i = 0; i < lent->count; i++) {
		const struct lent_item *item = &lent->item[i];

		json_open(json, NULL);
		json_text(json, "how", lent_names[item->how]);
		json_text(json, "tag", item->tag);
		json_text(json, "path", item->path);
		if (item->at)
			json_text(json, "at", item->at);
		if (item->at)
			json_bool(json, "read_only", item->read_only);
		if (item->pid)
			json_number(json, "pid", item->pid);
		json_close(json);
	}
	json_list_close(json);
}

static char *lent_get(const char *text, const char *key, int number,
		      const char *what)
{
	auto_free char *path = file_format("%s.%d.%s", key, number, what);

	return path ? json_get_text(text, path) : NULL;
}

static bool lent_is_read_only(const char *text, const char *key, int number)
{
	auto_free char *path = file_format("%s.%d.read_only", key, number);
	size_t len;
	const char *value = path ? json_get_value(text, path, &len) : NULL;

	return value && len == 4 && memcmp(value, "true", 4) == 0;
}

static bool lent_read_one(const char *text, const char *key, int number,
			  struct lent_item *item)
{
	auto_free char *how = lent_get(text, key, number, "how");
	auto_free char *tag = lent_get(text, key, number, "tag");
	auto_free char *pid = file_format("%s.%d.pid", key, number);
	int i = 0;

	while (how && i < LENT_HOWS && strcmp(how, lent_names[i]) != 0)
		i++;
	if (!how || i == LENT_HOWS || !tag || !pid || !lent_is_tag(tag))
		return false;
	*item = (struct lent_item){ .how = (enum lent_how)i, .fd = -1 };
	snprintf(item->tag, sizeof(item->tag), "%s", tag);
	item->pid = (pid_t)json_get_number(text, pid, 0);
	item->path = lent_get(text, key, number, "path");
	item->at = lent_get(text, key, number, "at");
	item->read_only = lent_is_read_only(text, key, number);
	return item->path;
}

void lent_read(const char *text, const char *key, struct lent *lent)
{
	while (lent->count < LENT_MOST &&
	       lent_read_one(text, key, lent->count, &lent->item[lent->count]))
		lent->count++;
}

int lent_refuse(const struct lent *lent, const char *machine, const char *what,
		struct err *err)
{
	if (!lent->count)
		return 0;
	return err_set(err, -EINVAL,
		       "machine %s has %s %s of this host, and can not %s",
		       machine, lent_names[lent->item[0].how],
		       lent->item[0].tag, what);
}
