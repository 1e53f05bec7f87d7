/* SPDX-License-Identifier: Apache-2.0 */
/* Paths below a folder of the image, name by name, by the rules that other
 * granted folders have: "..", a link, a path with a / in front lead nowhere
 * beyond the folder that it was named from.  The text of a link takes the
 * link's place in the path.
 *
 *	folders[0] is the caller's; folders[depth] is where we are */
#include "wasifs/wasifs_internal.h"
#include <string.h>

enum {
	WALK_LINKS = 40,
	WALK_ON = -1,	   /* there is more to go */
	WALK_MISSING = -2, /* its last name is not there */
};

/* ---- the walk --------------------------------------------------------------- */

/* A name of the text, which ends at a / or at the text's end. */
struct name {
	const char *text;
	size_t len;
};

static struct name next_name(struct wasifs_walk *walk)
{
	struct name name;

	while (*walk->rest == '/')
		walk->rest++;
	name.text = walk->rest;
	while (*walk->rest && *walk->rest != '/')
		walk->rest++;
	name.len = (size_t)(walk->rest - name.text);
	return name;
}

static bool is_name(const struct name *name, const char *text)
{
	return name->len == strlen(text) &&
	       memcmp(name->text, text, name->len) == 0;
}

static int walk_enter(struct wasifs_walk *walk, const struct erofs_node *node)
{
	if (walk->depth + 1 == WASIFS_DEPTH)
		return WASI_ENAMETOOLONG;
	walk->folders[++walk->depth] = node->nid;
	walk->at = *node;
	return WALK_ON;
}

static int walk_up(struct wasifs *fs)
{
	struct wasifs_walk *walk = &fs->walk;
	int r;

	if (walk->depth == 0)
		return WASI_ENOTCAPABLE;
	r = erofs_node(&fs->erofs, walk->folders[--walk->depth], &walk->at,
		       NULL);
	return r < 0 ? wasifs_errno(r) : WALK_ON;
}

/* The link's text goes in front of what is left. */
static int walk_link(struct wasifs *fs, const struct erofs_node *link)
{
	struct wasifs_walk *walk = &fs->walk;
	size_t left = strlen(walk->rest), len = link->size;

	if (!len)
		return WASI_ENOENT;
	if (++walk->links > WALK_LINKS)
		return WASI_ELOOP;
	if (link->size >= WASIFS_PATH || len + left >= sizeof walk->text)
		return WASI_ENAMETOOLONG;
	memmove(walk->text + len, walk->rest, left + 1);
	if (erofs_read(&fs->erofs, link, 0, walk->text, len) != (int64_t)len)
		return WASI_EIO;
	for (size_t i = 0; i < len; i++)
		if (!walk->text[i])
			return WASI_EIO;
	if (walk->text[0] == '/')
		return WASI_ENOTCAPABLE;
	walk->rest = walk->text;
	return WALK_ON;
}

/* What stands behind a name, be it a link. */
static int walk_look(const struct wasifs *fs, const struct name *name,
		     struct erofs_node *node)
{
	uint64_t nid;
	int r;

	if (name->len > EROFS_NAME_MOST)
		return WASI_ENAMETOOLONG;
	r = erofs_find(&fs->erofs, &fs->walk.at, name->text, name->len, &nid);
	if (r >= 0)
		r = erofs_node(&fs->erofs, nid, node, NULL);
	return r < 0 ? wasifs_errno(r) : 0;
}

static int walk_step(struct wasifs *fs, bool follow, struct erofs_node *found)
{
	struct wasifs_walk *walk = &fs->walk;
	struct name name = next_name(walk);
	bool is_last = !*walk->rest;
	uint8_t type;
	int e;

	if (!name.len) {
		*found = walk->at;
		return 0;
	}
	if (is_name(&name, "."))
		return WALK_ON;
	if (is_name(&name, ".."))
		return walk_up(fs);
	e = walk_look(fs, &name, found);
	if (e)
		return e == WASI_ENOENT && is_last ? WALK_MISSING : e;
	type = wasifs_type(found->mode);
	if (type == WASI_SYMBOLIC_LINK && (follow || !is_last))
		return walk_link(fs, found);
	if (is_last)
		return 0;
	return type == WASI_DIRECTORY ? walk_enter(walk, found) : WASI_ENOTDIR;
}

/* 0, an errno, or WALK_MISSING. */
static int walk_all(struct wasifs *fs, const struct wasifs_fd *folder,
		    bool follow, struct erofs_node *found)
{
	struct wasifs_walk *walk = &fs->walk;
	int r;

	if (!*walk->rest)
		return WASI_ENOENT;
	if (*walk->rest == '/')
		return WASI_ENOTCAPABLE;
	walk->depth = walk->links = 0;
	walk->folders[0] = folder->node.nid;
	walk->at = folder->node;
	do
		r = walk_step(fs, follow, found);
	while (r == WALK_ON);
	return r;
}

/* The folder of a descriptor, and a path's text into the walk. */
static int path_get(const struct wasifs_call *call, uint32_t fd,
		    uint64_t rights, uint32_t at, uint32_t len,
		    struct wasifs_fd **folder)
{
	struct wasifs_walk *walk = &call->fs->walk;
	int e = wasifs_get(call->fs, fd, rights, folder);
	const void *from;

	if (!e || e == WASI_ENOTCAPABLE)
		if ((*folder)->type != WASI_DIRECTORY)
			e = WASI_ENOTDIR;
	if (e)
		return e;
	from = wasifs_guest(call, at, len);
	if (!from)
		return WASI_EFAULT;
	if (len >= WASIFS_PATH)
		return WASI_ENAMETOOLONG;
	memcpy(walk->text, from, len);
	walk->text[len] = 0;
	walk->rest = walk->text;
	return strlen(walk->text) == len ? 0 : WASI_EINVAL;
}

/* The thing itself; a link too, unless it is followed. */
static int path_look(const struct wasifs_call *call,
		     const struct wasifs_fd *folder, uint32_t lookup,
		     struct erofs_node *found)
{
	int r = walk_all(call->fs, folder, lookup & WASI_SYMLINK_FOLLOW, found);

	return r == WALK_MISSING ? WASI_ENOENT : r;
}

/* ---- open ------------------------------------------------------------------- */

struct opening {
	uint32_t lookup, oflags, fdflags;
	uint64_t rights, inheriting;
};

static int may_open(const struct wasifs_fd *folder, const struct opening *how)
{
	uint64_t lacks = how->rights & ~folder->inheriting;

	if (how->oflags & ~WASI_OFLAGS || how->fdflags & ~WASI_FDFLAGS)
		return WASI_EINVAL;
	if (how->oflags & WASI_OPEN_DIRECTORY &&
	    how->oflags & (WASI_CREAT | WASI_EXCL | WASI_TRUNC))
		return WASI_EINVAL;
	if (WASI_RIGHT_PATH_OPEN & ~folder->rights)
		return WASI_ENOTCAPABLE;
	return lacks & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE)
		       ? WASI_ENOTCAPABLE
		       : 0;
}

static bool opens_to_write(const struct opening *how)
{
	return how->rights & (WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE |
			      WASI_RIGHT_FD_FILESTAT_SET_SIZE);
}

/* In the order in which a system that mounts the image would say no. */
static int check_opening(const struct opening *how, uint8_t type)
{
	if ((how->oflags & (WASI_CREAT | WASI_EXCL)) ==
	    (WASI_CREAT | WASI_EXCL))
		return WASI_EEXIST;
	if (how->oflags & WASI_OPEN_DIRECTORY && type != WASI_DIRECTORY)
		return WASI_ENOTDIR;
	switch (type) {
	case WASI_SYMBOLIC_LINK: return WASI_ELOOP;
	case WASI_DIRECTORY:
		return how->oflags & (WASI_CREAT | WASI_TRUNC) ||
				       opens_to_write(how)
			       ? WASI_EISDIR
			       : 0;
	case WASI_REGULAR_FILE:
		return how->oflags & WASI_TRUNC || opens_to_write(how)
			       ? WASI_EROFS
			       : 0;
	}
	return WASI_ENXIO;
}

/* With both, a link at the end is a name that is taken. */
static bool opening_follows(const struct opening *how)
{
	uint32_t new = WASI_CREAT | WASI_EXCL;

	return how->lookup & WASI_SYMLINK_FOLLOW && (how->oflags & new) != new;
}

static int open_node(struct wasifs *fs, const struct wasifs_fd *folder,
		     struct opening *how, struct wasifs_fd *entry)
{
	int r;

	how->rights &= folder->inheriting;
	r = walk_all(fs, folder, opening_follows(how), &entry->node);
	if (r == WALK_MISSING)
		return how->oflags & WASI_CREAT ? WASI_EROFS : WASI_ENOENT;
	if (r)
		return r;
	entry->type = wasifs_type(entry->node.mode);
	entry->flags = (uint16_t)how->fdflags;
	entry->rights = wasifs_rights(entry->type) & how->rights;
	entry->inheriting = how->inheriting & folder->inheriting;
	if (entry->type != WASI_DIRECTORY)
		entry->inheriting = 0;
	return check_opening(how, entry->type);
}

int wasifs_path_open(const struct wasifs_call *call, const union wasm_value *a)
{
	struct opening how = {
		.lookup = a[1].i32,
		.oflags = a[4].i32,
		.rights = a[5].i64,
		.inheriting = a[6].i64,
		.fdflags = a[7].i32,
	};
	struct wasifs_fd entry = { 0 }, *folder;
	uint32_t fd;
	int e = path_get(call, a[0].i32, 0, a[2].i32, a[3].i32, &folder);

	if (!e)
		e = may_open(folder, &how);
	if (!e && !wasifs_guest(call, a[8].i32, sizeof fd))
		e = WASI_EFAULT;
	if (!e)
		e = open_node(call->fs, folder, &how, &entry);
	if (!e)
		e = wasifs_add(call->fs, &entry, &fd);
	return e ? e : wasifs_put_u32(call, a[8].i32, fd);
}

/* ---- what is looked at ------------------------------------------------------ */

int wasifs_path_filestat_get(const struct wasifs_call *call,
			     const union wasm_value *a)
{
	struct wasifs_fd *folder;
	struct erofs_node found;
	int e = path_get(call, a[0].i32, WASI_RIGHT_PATH_FILESTAT_GET, a[2].i32,
			 a[3].i32, &folder);

	if (!e)
		e = path_look(call, folder, a[1].i32, &found);
	return e ? e : wasifs_put_stat(call, a[4].i32, &found);
}

int wasifs_path_readlink(const struct wasifs_call *call,
			 const union wasm_value *a)
{
	uint32_t room = a[4].i32, len;
	struct wasifs_fd *folder;
	struct erofs_node found;
	uint8_t *to;
	int e = path_get(call, a[0].i32, WASI_RIGHT_PATH_READLINK, a[1].i32,
			 a[2].i32, &folder);

	if (!e)
		e = path_look(call, folder, 0, &found);
	if (!e && wasifs_type(found.mode) != WASI_SYMBOLIC_LINK)
		e = WASI_EINVAL;
	if (e)
		return e;
	len = room < found.size ? room : (uint32_t)found.size;
	to = wasifs_guest(call, a[3].i32, len);
	if (!to)
		return WASI_EFAULT;
	if (erofs_read(&call->fs->erofs, &found, 0, to, len) != (int64_t)len)
		return WASI_EIO;
	return wasifs_put_u32(call, a[5].i32, len);
}
