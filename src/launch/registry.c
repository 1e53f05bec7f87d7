/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of templates.  Paths are made in one place each, checked for
 * their lengths (a socket's name has 107 bytes), and folders that others
 * could have made before us (/tmp) are used only when they are ours. */
#include "launch/registry.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "launch/entry.h"
#include "launch/key.h"
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

static bool registry_is_key(const char *word)
{
	return strlen(word) == REGISTRY_KEY_LEN &&
	       strspn(word, "0123456789abcdef") == REGISTRY_KEY_LEN;
}

int registry_key(const struct spec *spec, char key[20])
{
	auto_buf struct buf room = { 0 };
	const bool counts = spec_has_base(spec);
	const struct key_parts parts = { .name = spec->name,
					 .program = spec->program,
					 .stop = spec_stop_words(spec, &room),
					 .argv = spec->argv,
					 .argc = counts ? spec->argc : 0 };

	return room.failed ? -ENOMEM : key_make(&parts, key);
}

/* A folder that is there is ours alone and no link. */
static bool registry_is_private(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid() && !(st.st_mode & 077);
}

static char *registry_own_tmp(void)
{
	return file_format("/tmp/brood-%u", (unsigned)geteuid());
}

/* The fallback under /tmp is made at once or must be ours already. */
static int registry_use_own_tmp(char **tmp, bool make, struct err *err)
{
	*tmp = registry_own_tmp();
	if (!*tmp)
		return err_set(err, -ENOMEM, "name of a folder");
	if (make)
		return file_private_dir(*tmp, err);
	if (access(*tmp, F_OK) == 0 && !registry_is_private(*tmp))
		return err_set(err, -EPERM, "%s is not private", *tmp);
	return 0;
}

static int registry_cache_root(char **root, bool make, struct err *err)
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
		if ((rc = registry_use_own_tmp(&tmp, make, err)) < 0)
			return rc;
		*root = file_join(tmp, "cache");
	}
	return *root ? 0 : err_set(err, -ENOMEM, "name of a folder");
}

static bool registry_is_runtime_dir(const char *dir)
{
	struct stat st;

	if (!dir || dir[0] != '/' || stat(dir, &st) < 0)
		return false;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return false;
	return !(st.st_mode & 022);
}

static bool registry_sockets_fit(const char *dir)
{
	return dir && strlen(dir) + 1 + REGISTRY_SOCKET_NAME_MOST <=
			      REGISTRY_SOCKET_MOST;
}

/* The folder that an entry names, as long as it can be used. */
static char *registry_sockets_of_entry(const char *entry_path)
{
	auto_free struct start_entry *entry = entry_read(entry_path, NULL);
	char *slash;

	if (!entry)
		return NULL;
	slash = strrchr(entry->live, '/');
	if (!slash || slash == entry->live || strcmp(slash, "/live"))
		return NULL;
	*slash = 0;
	if (!registry_is_private(entry->live) ||
	    !registry_sockets_fit(entry->live))
		return NULL;
	return strdup(entry->live);
}

int registry_runtime(char **root, bool make, struct err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (!registry_is_runtime_dir(runtime))
		return registry_use_own_tmp(root, make, err);
	*root = file_join(runtime, "brood");
	if (!*root)
		return err_set(err, -ENOMEM, "name of a folder");
	return make ? file_private_dir(*root, err) : 0;
}

static int registry_find_sockets(struct registry_place *place, bool make,
				 struct err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	auto_free char *tmp = NULL;
	char hash[17];
	int rc;

	place->sockets = registry_sockets_of_entry(place->entry);
	if (place->sockets)
		return 0;
	hash_hex(hash64(place->state, strlen(place->state)), hash);
	if (registry_is_runtime_dir(runtime)) {
		place->sockets = file_format("%s/brood/%s", runtime, hash);
		if (registry_sockets_fit(place->sockets))
			return 0;
		free(place->sockets);
		place->sockets = NULL;
	}
	if ((rc = registry_use_own_tmp(&tmp, make, err)) < 0)
		return rc;
	place->sockets = file_join(tmp, hash);
	return place->sockets ? 0 : err_set(err, -ENOMEM, "name of a folder");
}

/* dir and the folder above it, both private. */
static int registry_make_private_pair(const char *dir, struct err *err)
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

/* Takes state, the folder. */
static int registry_place_names(char *state, struct registry_place *place,
				struct err *err)
{
	place->state = state;
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

/* The folder with "programs" and "names", which the place lies in. */
static char *registry_root_of(const struct registry_place *place)
{
	char *root = strdup(place->state);

	for (int i = 0; root && i < 2; i++)
		*strrchr(root, '/') = 0;
	return root;
}

int registry_place_make(const struct registry_place *place, struct err *err)
{
	auto_free char *root = registry_root_of(place);
	int rc;

	if (!root)
		return err_set(err, -ENOMEM, "name of a folder");
	if ((rc = file_make_dirs(root, 0700, err)) < 0 ||
	    (rc = registry_make_private_pair(place->state, err)) < 0)
		return rc;
	return registry_make_private_pair(place->sockets, err);
}

static int registry_place_fill(char *state, bool make,
			       struct registry_place *place, struct err *err)
{
	int rc;

	if ((rc = registry_place_names(state, place, err)) < 0 ||
	    (rc = registry_find_sockets(place, make, err)) < 0)
		return rc;
	place->live = file_join(place->sockets, "live");
	place->waiting = file_join(place->sockets, "waiting");
	place->control = file_join(place->sockets, "control");
	if (!place->live || !place->waiting || !place->control)
		return err_set(err, -ENOMEM, "names of sockets");
	return make ? registry_place_make(place, err) : 0;
}

int registry_place(const char *key, bool make, struct registry_place *place,
		   struct err *err)
{
	auto_free char *root = NULL;
	int rc;

	*place = (struct registry_place){ 0 };
	if (!registry_is_key(key))
		return err_set(err, -EINVAL, "\"%.40s\" is not a key", key);
	memcpy(place->key, key, REGISTRY_KEY_LEN + 1);
	if ((rc = registry_cache_root(&root, make, err)) >= 0)
		rc = registry_place_fill(file_format("%s/programs/%s", root,
						     key),
					 make, place, err);
	if (rc < 0)
		registry_place_fini(place);
	return rc;
}

/* .../programs/KEY, of which nobody has to exist. */
static bool registry_is_state_folder(const char *folder)
{
	const char *base = file_base(folder);
	static const char above[] = "/programs/";
	size_t len = sizeof(above) - 1;

	return folder[0] == '/' && registry_is_key(base) &&
	       (size_t)(base - folder) > len && !memcmp(base - len, above, len);
}

int registry_place_at(const char *folder, struct registry_place *place,
		      struct err *err)
{
	int rc;

	*place = (struct registry_place){ 0 };
	if (!registry_is_state_folder(folder))
		return err_set(err, -EINVAL, "%s is not a template's folder",
			       folder);
	memcpy(place->key, file_base(folder), REGISTRY_KEY_LEN + 1);
	rc = registry_place_fill(strdup(folder), false, place, err);
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
	free(place->waiting);
	free(place->control);
	*place = (struct registry_place){ 0 };
}

static int registry_name_link_in(const char *root, const char *name,
				 char **link, bool make, struct err *err)
{
	auto_free char *names = NULL;
	int rc;

	names = file_join(root, "names");
	if (make && names && (rc = file_make_dirs(root, 0700, err)) < 0)
		return rc;
	if (make && names && (rc = file_private_dir(names, err)) < 0)
		return rc;
	*link = names ? file_join(names, name) : NULL;
	return *link ? 0 : err_set(err, -ENOMEM, "link of a name");
}

static int registry_name_link(const char *name, char **link, bool make,
			      struct err *err)
{
	auto_free char *root = NULL;
	int rc = registry_cache_root(&root, make, err);

	return rc < 0 ? rc : registry_name_link_in(root, name, link, make, err);
}

/* Is the link's text a key?  Fills it. */
static bool registry_read_link(const char *link, char key[20])
{
	ssize_t len = readlink(link, key, REGISTRY_KEY_LEN + 1);

	if (len != REGISTRY_KEY_LEN)
		return false;
	key[len] = 0;
	return registry_is_key(key);
}

static bool registry_key_of_name(const char *name, char key[20])
{
	auto_free char *link = NULL;

	if (spec_check_name(name, NULL) < 0 ||
	    registry_name_link(name, &link, false, NULL) < 0)
		return false;
	return registry_read_link(link, key);
}

static bool registry_key_of_program(const char *word, char key[20])
{
	auto_spec struct spec spec;

	spec_init(&spec);
	return spec_set_program(&spec, word, NULL) >= 0 &&
	       registry_key(&spec, key) >= 0;
}

/* 1: there is an entry.  0: none, and place is empty. */
static int registry_place_if_entered(const char *key,
				     struct registry_place *place,
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
	if (registry_key_of_name(word, key))
		rc = registry_place_if_entered(key, place, err);
	if (rc == 0 && registry_is_key(word))
		rc = registry_place_if_entered(word, place, err);
	if (rc == 0 && registry_key_of_program(word, key))
		rc = registry_place_if_entered(key, place, err);
	return rc;
}

static int registry_place_in(const char *root, const char *key,
			     struct registry_place *place)
{
	auto_free char *folder = file_format("%s/programs/%s", root, key);
	int rc = folder ? registry_place_at(folder, place, NULL) : -ENOMEM;

	return rc < 0 ? rc : access(place->entry, F_OK);
}

static int registry_each_in(const char *root,
			    int (*visit)(const struct registry_place *place,
					 void *context),
			    void *context, struct err *err)
{
	auto_free char *programs = file_join(root, "programs");
	DIR *dir = programs ? opendir(programs) : NULL;
	struct dirent *item;
	int rc = 0;

	if (!dir)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "folder %s/%s",
						 root, "programs");
	while (rc == 0 && (item = readdir(dir))) {
		auto_place struct registry_place place = { 0 };

		if (registry_is_key(item->d_name) &&
		    registry_place_in(root, item->d_name, &place) == 0)
			rc = visit(&place, context);
	}
	closedir(dir);
	return rc;
}

int registry_each(int (*visit)(const struct registry_place *place,
			       void *context),
		  void *context, struct err *err)
{
	auto_free char *root = NULL;
	int rc = registry_cache_root(&root, false, err);

	return rc < 0 ? rc : registry_each_in(root, visit, context, err);
}

int registry_each_beside(const struct registry_place *one,
			 int (*visit)(const struct registry_place *place,
				      void *context),
			 void *context, struct err *err)
{
	auto_free char *root = registry_root_of(one);

	if (!root)
		return err_set(err, -ENOMEM, "name of a folder");
	return registry_each_in(root, visit, context, err);
}

static int registry_write_spec(const struct spec *spec,
			       const struct registry_place *place,
			       struct err *err)
{
	auto_buf struct buf text = { 0 };
	int rc = spec_write(spec, &text);

	if (rc < 0)
		return err_set(err, rc, "spec of %s", spec->program);
	return file_publish(place->spec, text.data, text.len, 0600, err);
}

/* A name that meant another template drops that one: its folder goes, and
 * its keeper sees that and ends. */
static void registry_remove_other(const char *key)
{
	auto_place struct registry_place place = { 0 };
	struct err err = { 0 };

	if (registry_place(key, false, &place, &err) < 0 ||
	    registry_remove(&place, &err) < 0)
		log_say("the template that had this name: %s", err.text);
}

static int registry_enter_name(const char *name, const char *key,
			       struct err *err)
{
	auto_free char *link = NULL;
	auto_free char *next = NULL;
	char old[20];
	bool had;
	int rc;

	if ((rc = spec_check_name(name, err)) < 0 ||
	    (rc = registry_name_link(name, &link, true, err)) < 0)
		return rc;
	had = registry_read_link(link, old);
	if (had && !strcmp(old, key))
		return 0;
	next = file_format("%s.%d~", link, (int)getpid());
	if (!next)
		return err_set(err, -ENOMEM, "link %s", link);
	unlink(next);
	if (symlink(key, next) < 0 || rename(next, link) < 0)
		return err_set(err, -errno, "link %s", link);
	if (had)
		registry_remove_other(old);
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
	/* What a keeper would refuse to read is not written. */
	if ((rc = spec_check(spec, err)) < 0)
		return rc;
	if ((rc = registry_place(key, true, place, err)) < 0)
		return rc;
	if ((rc = registry_write_spec(spec, place, err)) < 0 ||
	    (rc = entry_write(spec, brood_path, place, err)) < 0 ||
	    (spec->name &&
	     (rc = registry_enter_name(spec->name, key, err)) < 0))
		registry_place_fini(place);
	return rc < 0 ? rc : 0;
}

static int registry_read_trusted(const char *path, struct buf *to,
				 struct err *err)
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
	int rc = registry_read_trusted(place->spec, &text, err);

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
static void registry_remove_name(const struct registry_place *place)
{
	auto_free char *root = registry_root_of(place);
	auto_spec struct spec spec;
	auto_free char *link = NULL;
	char key[20];

	spec_init(&spec);
	if (!root || registry_read_spec(place, &spec, NULL) < 0 || !spec.name ||
	    registry_name_link_in(root, spec.name, &link, false, NULL) < 0)
		return;
	if (registry_read_link(link, key) && !strcmp(key, place->key))
		unlink(link);
}

int registry_remove(const struct registry_place *place, struct err *err)
{
	int rc;

	registry_remove_name(place);
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
