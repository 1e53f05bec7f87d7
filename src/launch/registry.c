/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of templates.  Paths are made in one place each, checked for
 * their lengths (a socket's name has 107 bytes), and folders that others
 * could have made before us (/tmp) are used only when they are ours. */
#include "launch/registry.h"
#include "bare/crc.h"
#include "bare/image_check.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/process.h"
#include "brood/start_entry.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	REGISTRY_KEY_LEN = 16,
	REGISTRY_SOCKET_MOST = 107,
	REGISTRY_SOCKET_NAME_MOST = 16, /* "control", "g1234" */
	REGISTRY_SPEC_MOST = 4 * 1024 * 1024,
};

static bool is_key(const char *word)
{
	return strlen(word) == REGISTRY_KEY_LEN &&
	       strspn(word, "0123456789abcdef") == REGISTRY_KEY_LEN;
}

static bool is_deep(const struct spec *spec)
{
	return spec->stop != SPEC_STOP_MAIN;
}

/* Do launches get the spec's arguments? */
static bool has_base(const struct spec *spec)
{
	return spec->name || is_deep(spec);
}

int registry_key(const struct spec *spec, char key[20])
{
	auto_buf struct buf room = { 0 };
	auto_buf struct buf all = { 0 };

	buf_text(&all, spec->name ? spec->name : "");
	buf_add(&all, "", 1);
	buf_text(&all, spec->program);
	buf_add(&all, "", 1);
	buf_text(&all, spec_stop_words(spec, &room));
	buf_add(&all, "", 1);
	for (int i = 0; i < spec->argc && has_base(spec); i++)
		buf_add(&all, spec->argv[i], strlen(spec->argv[i]) + 1);
	if (all.failed || room.failed)
		return -ENOMEM;
	hash_hex(hash64(all.data, all.len), key);
	return 0;
}

/* A folder that is there is ours alone and no link. */
static bool is_private(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid() && !(st.st_mode & 077);
}

static char *own_tmp(void)
{
	return file_format("/tmp/brood-%u", (unsigned)geteuid());
}

/* The fallback under /tmp is made at once or must be ours already. */
static int use_own_tmp(char **tmp, bool make, struct err *err)
{
	*tmp = own_tmp();
	if (!*tmp)
		return err_set(err, -ENOMEM, "name of a folder");
	if (make)
		return file_private_dir(*tmp, err);
	if (access(*tmp, F_OK) == 0 && !is_private(*tmp))
		return err_set(err, -EPERM, "%s is not private", *tmp);
	return 0;
}

static int cache_root(char **root, bool make, struct err *err)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	auto_free char *tmp = NULL;
	int rc;

	if (cache && cache[0] == '/') {
		*root = file_join(cache, "brood");
	} else if (home && home[0] == '/') {
		*root = file_join(home, ".cache/brood");
	} else {
		if ((rc = use_own_tmp(&tmp, make, err)) < 0)
			return rc;
		*root = file_join(tmp, "cache");
	}
	return *root ? 0 : err_set(err, -ENOMEM, "name of a folder");
}

static bool is_runtime_dir(const char *dir)
{
	struct stat st;

	if (!dir || dir[0] != '/' || stat(dir, &st) < 0)
		return false;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return false;
	return !(st.st_mode & 022);
}

static bool sockets_fit(const char *dir)
{
	return dir && strlen(dir) + 1 + REGISTRY_SOCKET_NAME_MOST <=
			      REGISTRY_SOCKET_MOST;
}

static struct start_entry *read_entry(const char *path, struct err *err)
{
	auto_close int fd = file_open_trusted(path, err);
	auto_free struct start_entry *entry = malloc(sizeof(*entry));
	const char *wrong;

	if (fd < 0)
		return NULL;
	if (!entry || fd_read_all(fd, entry, sizeof(*entry), err) < 0) {
		err_wrap(err, "entry %s", path);
		return NULL;
	}
	wrong = entry_check(entry, sizeof(*entry));
	if (wrong) {
		err_set(err, -EINVAL, "entry %s: %s", path, wrong);
		return NULL;
	}
	return steal_ptr(&entry);
}

/* The folder that an entry names, as long as it can be used. */
static char *sockets_of_entry(const char *entry_path)
{
	auto_free struct start_entry *entry = read_entry(entry_path, NULL);
	char *slash;

	if (!entry)
		return NULL;
	slash = strrchr(entry->live, '/');
	if (!slash || slash == entry->live || strcmp(slash, "/live"))
		return NULL;
	*slash = 0;
	if (!is_private(entry->live) || !sockets_fit(entry->live))
		return NULL;
	return strdup(entry->live);
}

static int find_sockets(struct registry_place *place, bool make,
			struct err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	auto_free char *tmp = NULL;
	char hash[17];
	int rc;

	place->sockets = sockets_of_entry(place->entry);
	if (place->sockets)
		return 0;
	hash_hex(hash64(place->state, strlen(place->state)), hash);
	if (is_runtime_dir(runtime)) {
		place->sockets = file_format("%s/brood/%s", runtime, hash);
		if (sockets_fit(place->sockets))
			return 0;
		free(place->sockets);
		place->sockets = NULL;
	}
	if ((rc = use_own_tmp(&tmp, make, err)) < 0)
		return rc;
	place->sockets = file_join(tmp, hash);
	return place->sockets ? 0 : err_set(err, -ENOMEM, "name of a folder");
}

/* dir and the folder above it, both private. */
static int make_private_pair(const char *dir, struct err *err)
{
	auto_free char *above = strdup(dir);
	int rc;

	if (!above)
		return err_set(err, -ENOMEM, "make %s", dir);
	*strrchr(above, '/') = 0;
	if ((rc = file_private_dir(above, err)) < 0)
		return rc;
	return file_private_dir(dir, err);
}

static int place_names(const char *root, struct registry_place *place,
		       struct err *err)
{
	place->state = file_format("%s/programs/%s", root, place->key);
	if (!place->state)
		return err_set(err, -ENOMEM, "name of a folder");
	place->spec = file_join(place->state, "spec");
	place->entry = file_join(place->state, "entry");
	place->image = file_join(place->state, "image");
	place->status = file_join(place->state, "status");
	place->lock = file_join(place->state, "lock");
	if (!place->spec || !place->entry || !place->image || !place->status ||
	    !place->lock)
		return err_set(err, -ENOMEM, "names of files");
	return 0;
}

static int place_make(const char *root, const struct registry_place *place,
		      struct err *err)
{
	int rc;

	if ((rc = file_make_dirs(root, 0700, err)) < 0 ||
	    (rc = make_private_pair(place->state, err)) < 0)
		return rc;
	return make_private_pair(place->sockets, err);
}

static int place_fill(bool make, struct registry_place *place, struct err *err)
{
	auto_free char *root = NULL;
	int rc;

	if ((rc = cache_root(&root, make, err)) < 0 ||
	    (rc = place_names(root, place, err)) < 0 ||
	    (rc = find_sockets(place, make, err)) < 0)
		return rc;
	place->live = file_join(place->sockets, "live");
	place->control = file_join(place->sockets, "control");
	if (!place->live || !place->control)
		return err_set(err, -ENOMEM, "names of sockets");
	return make ? place_make(root, place, err) : 0;
}

int registry_place(const char *key, bool make, struct registry_place *place,
		   struct err *err)
{
	int rc;

	*place = (struct registry_place){ 0 };
	if (!is_key(key))
		return err_set(err, -EINVAL, "\"%.40s\" is not a key", key);
	memcpy(place->key, key, REGISTRY_KEY_LEN + 1);
	rc = place_fill(make, place, err);
	if (rc < 0)
		registry_place_fini(place);
	return rc;
}

void registry_place_fini(struct registry_place *place)
{
	free(place->state);
	free(place->spec);
	free(place->entry);
	free(place->image);
	free(place->status);
	free(place->lock);
	free(place->sockets);
	free(place->live);
	free(place->control);
	*place = (struct registry_place){ 0 };
}

static int name_link(const char *name, char **link, bool make, struct err *err)
{
	auto_free char *root = NULL;
	auto_free char *names = NULL;
	int rc = cache_root(&root, make, err);

	if (rc < 0)
		return rc;
	names = file_join(root, "names");
	if (make && names && (rc = file_make_dirs(root, 0700, err)) < 0)
		return rc;
	if (make && names && (rc = file_private_dir(names, err)) < 0)
		return rc;
	*link = names ? file_join(names, name) : NULL;
	return *link ? 0 : err_set(err, -ENOMEM, "link of a name");
}

/* Is the link's text a key?  Fills it. */
static bool read_link(const char *link, char key[20])
{
	ssize_t len = readlink(link, key, REGISTRY_KEY_LEN + 1);

	if (len != REGISTRY_KEY_LEN)
		return false;
	key[len] = 0;
	return is_key(key);
}

static bool key_of_name(const char *name, char key[20])
{
	auto_free char *link = NULL;

	if (spec_check_name(name, NULL) < 0 ||
	    name_link(name, &link, false, NULL) < 0)
		return false;
	return read_link(link, key);
}

static bool key_of_program(const char *word, char key[20])
{
	auto_spec struct spec spec;

	spec_init(&spec);
	return spec_set_program(&spec, word, NULL) >= 0 &&
	       registry_key(&spec, key) >= 0;
}

/* 1: there is an entry.  0: none, and place is empty. */
static int place_if_entered(const char *key, struct registry_place *place,
			    struct err *err)
{
	int rc = registry_place(key, false, place, err);

	if (rc < 0)
		return rc;
	if (access(place->entry, F_OK) == 0)
		return 1;
	registry_place_fini(place);
	return 0;
}

/* CLAIM 0.17: from a program to the template that serves it. */
int registry_find(const char *word, struct registry_place *place,
		  struct err *err)
{
	char key[20];
	int rc = 0;

	*place = (struct registry_place){ 0 };
	if (key_of_name(word, key))
		rc = place_if_entered(key, place, err);
	if (rc == 0 && is_key(word))
		rc = place_if_entered(word, place, err);
	if (rc == 0 && key_of_program(word, key))
		rc = place_if_entered(key, place, err);
	return rc;
}

int registry_each(int (*visit)(const struct registry_place *place,
			       void *context),
		  void *context, struct err *err)
{
	auto_free char *root = NULL;
	auto_free char *programs = NULL;
	struct dirent *item;
	DIR *dir;
	int rc = cache_root(&root, false, err);

	if (rc < 0)
		return rc;
	programs = file_join(root, "programs");
	dir = programs ? opendir(programs) : NULL;
	if (!dir)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "folder %s/%s",
						 root, "programs");
	while (rc == 0 && (item = readdir(dir))) {
		auto_place struct registry_place place = { 0 };

		if (is_key(item->d_name) &&
		    place_if_entered(item->d_name, &place, NULL) == 1)
			rc = visit(&place, context);
	}
	closedir(dir);
	return rc;
}

static int entry_put(char *to, size_t room, const char *what, const char *text,
		     struct err *err)
{
	size_t len = strlen(text);

	if (len >= room)
		return err_set(err, -ENAMETOOLONG, "%s %.80s...", what, text);
	memcpy(to, text, len + 1);
	return 0;
}
#define PUT(member, text) \
	entry_put(entry->member, sizeof(entry->member), #member, text, err)

static int entry_arguments(const struct spec *spec, struct start_entry *entry,
			   struct err *err)
{
	size_t at = 0;

	if (!has_base(spec))
		return 0;
	for (int i = 0; i < spec->argc; i++) {
		size_t len = strlen(spec->argv[i]) + 1;

		if (len > sizeof(entry->base_argv) - at)
			return err_set(err, -E2BIG,
				       "arguments of over %zu bytes",
				       sizeof(entry->base_argv));
		memcpy(entry->base_argv + at, spec->argv[i], len);
		at += len;
	}
	entry->base_argc = (uint32_t)spec->argc;
	entry->base_bytes = (uint32_t)at;
	return 0;
}

static uint32_t entry_flags_of(const struct spec *spec)
{
	return (spec_pool(spec) > 0 ? (uint32_t)ENTRY_POOL : 0) |
	       (is_deep(spec) ? (uint32_t)ENTRY_DEEP : 0) |
	       (spec->hold ? (uint32_t)ENTRY_HOLD : 0);
}

static int entry_fill(const struct spec *spec, const char *brood_path,
		      const struct registry_place *place,
		      struct start_entry *entry, struct err *err)
{
	int rc;

	entry->magic = ENTRY_MAGIC;
	entry->version = ENTRY_VERSION;
	entry->struct_bytes = sizeof(*entry);
	if ((rc = PUT(program, spec->program)) < 0 ||
	    (rc = PUT(image, place->image)) < 0 ||
	    (rc = PUT(live, place->live)) < 0 ||
	    (rc = PUT(control, place->control)) < 0 ||
	    (rc = PUT(keeper, brood_path)) < 0 ||
	    (rc = PUT(key, place->key)) < 0 ||
	    (rc = PUT(status, place->status)) < 0)
		return rc;
	return entry_arguments(spec, entry, err);
}

static int publish_entry(struct start_entry *entry, const char *path,
			 struct err *err)
{
	entry->crc = 0;
	entry->crc = crc_of(0, entry, sizeof(*entry));
	return file_publish(path, entry, sizeof(*entry), 0600, err);
}

static int write_entry(const struct spec *spec, const char *brood_path,
		       const struct registry_place *place, struct err *err)
{
	auto_free struct start_entry *entry = calloc(1, sizeof(*entry));
	auto_free char *self =
		brood_path ? strdup(brood_path) : process_exe(getpid());
	int rc;

	if (!entry || !self)
		return err_set(err, -ENOMEM, "entry of %s", spec->program);
	if ((rc = entry_fill(spec, self, place, entry, err)) < 0)
		return err_wrap(err, "entry of %s", spec->program);
	entry->flags = entry_flags_of(spec);
	return publish_entry(entry, place->entry, err);
}

static int update(struct start_entry *entry, bool demand,
		  const struct registry_place *place, struct err *err)
{
	int rc;

	if ((rc = PUT(live, place->live)) < 0 ||
	    (rc = PUT(control, place->control)) < 0)
		return rc;
	entry->flags &= ~(uint32_t)ENTRY_NO_DEMAND;
	if (!demand)
		entry->flags |= ENTRY_NO_DEMAND;
	return 0;
}

int registry_update_entry(const struct registry_place *place, bool demand,
			  struct err *err)
{
	auto_free struct start_entry *entry = read_entry(place->entry, err);
	auto_free struct start_entry *old = malloc(sizeof(*old));
	int rc;

	if (!entry || !old)
		return -EINVAL;
	memcpy(old, entry, sizeof(*old));
	if ((rc = update(entry, demand, place, err)) < 0)
		return rc;
	if (!memcmp(old, entry, sizeof(*old)))
		return 0;
	return publish_entry(entry, place->entry, err);
}

static int write_spec(const struct spec *spec,
		      const struct registry_place *place, struct err *err)
{
	auto_buf struct buf text = { 0 };
	int rc = spec_write(spec, &text);

	if (rc < 0)
		return err_set(err, rc, "spec of %s", spec->program);
	return file_publish(place->spec, text.data, text.len, 0600, err);
}

/* A name that meant another template drops that one: its folder goes, and
 * its keeper sees that and ends. */
static void remove_other(const char *key)
{
	auto_place struct registry_place place = { 0 };
	struct err err = { 0 };

	if (registry_place(key, false, &place, &err) < 0 ||
	    registry_remove(&place, &err) < 0)
		log_say("the template that had this name: %s", err.text);
}

static int enter_name(const char *name, const char *key, struct err *err)
{
	auto_free char *link = NULL;
	auto_free char *next = NULL;
	char old[20];
	bool had;
	int rc;

	if ((rc = spec_check_name(name, err)) < 0 ||
	    (rc = name_link(name, &link, true, err)) < 0)
		return rc;
	had = read_link(link, old);
	if (had && !strcmp(old, key))
		return 0;
	next = file_format("%s.%d~", link, (int)getpid());
	if (!next)
		return err_set(err, -ENOMEM, "link %s", link);
	unlink(next);
	if (symlink(key, next) < 0 || rename(next, link) < 0)
		return err_set(err, -errno, "link %s", link);
	if (had)
		remove_other(old);
	return 0;
}

/* CLAIM 0.17: from now on the program has a template. */
int registry_enter(const struct spec *spec, const char *brood_path,
		   struct registry_place *place, struct err *err)
{
	char key[20];
	int rc = registry_key(spec, key);

	*place = (struct registry_place){ 0 };
	if (rc < 0)
		return err_set(err, rc, "key of %s", spec->program);
	if ((rc = registry_place(key, true, place, err)) < 0)
		return rc;
	if ((rc = write_spec(spec, place, err)) < 0 ||
	    (rc = write_entry(spec, brood_path, place, err)) < 0 ||
	    (spec->name && (rc = enter_name(spec->name, key, err)) < 0))
		registry_place_fini(place);
	return rc < 0 ? rc : 0;
}

static int read_trusted(const char *path, struct buf *to, struct err *err)
{
	auto_close int fd = file_open_trusted(path, err);
	auto_free char *data = NULL;
	struct stat st;
	int rc;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s", path);
	if (st.st_size > REGISTRY_SPEC_MOST)
		return err_set(err, -EFBIG, "%s", path);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return err_set(err, -ENOMEM, "%s", path);
	if ((rc = fd_read_all(fd, data, (size_t)st.st_size, err)) < 0)
		return err_wrap(err, "%s", path);
	buf_add(to, data, (size_t)st.st_size);
	return to->failed ? err_set(err, -ENOMEM, "%s", path) : 0;
}

int registry_read_spec(const struct registry_place *place, struct spec *spec,
		       struct err *err)
{
	auto_buf struct buf text = { 0 };
	char key[20];
	int rc = read_trusted(place->spec, &text, err);

	if (rc < 0)
		return rc;
	if ((rc = spec_parse(spec, buf_string(&text), text.len, err)) < 0)
		return err_wrap(err, "%s", place->spec);
	if ((rc = registry_key(spec, key)) < 0)
		return err_set(err, rc, "%s", place->spec);
	if (strcmp(key, place->key) != 0)
		return err_set(err, -EINVAL, "%s: is that of template %s",
			       place->spec, key);
	return 0;
}

/* The name's link, where it means this template. */
static void remove_name(const struct registry_place *place)
{
	auto_spec struct spec spec;
	auto_free char *link = NULL;
	char key[20];

	spec_init(&spec);
	if (registry_read_spec(place, &spec, NULL) < 0 || !spec.name ||
	    name_link(spec.name, &link, false, NULL) < 0)
		return;
	if (read_link(link, key) && !strcmp(key, place->key))
		unlink(link);
}

int registry_remove(const struct registry_place *place, struct err *err)
{
	int rc;

	remove_name(place);
	/* The name of the serving copy first: nothing is started by it any
	 * more when the rest goes. */
	unlink(place->live);
	if (access(place->state, F_OK) == 0 &&
	    (rc = file_remove_tree(place->state, err)) < 0)
		return rc;
	if (access(place->sockets, F_OK) == 0)
		return file_remove_tree(place->sockets, err);
	return 0;
}

/* Asks whether a lock is held without taking it, so that a keeper that
 * starts at this moment is not disturbed. */
bool registry_is_kept(const struct registry_place *place)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = open(place->lock, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return false;
	return lock.l_type != F_UNLCK;
}
