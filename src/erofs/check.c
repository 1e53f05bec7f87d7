/* SPDX-License-Identifier: Apache-2.0 */
/* Goes down into folders with a stack of its own.  Time is bounded by the
 * number of names and by the steps that links may take, memory by the number
 * of folders. */
#include "erofs/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHECK_PATH = 4096,
	CHECK_DEPTH = 64,
	CHECK_LINKS = 40, /* that lead to one another, as Linux has it */
	CHECK_RIGHTS = 07777,
	CHECK_SET_ID = 06000,
};
#define CHECK_NODES UINT64_C(1 << 20)
#define CHECK_BYTES (UINT64_C(1) << 40)
#define CHECK_STEPS UINT64_C(1 << 21)

struct check_folder {
	struct erofs_node node;
	uint64_t above; /* its parent's nid */
	uint64_t cookie;
	size_t path_len;
	bool dot, dots;
	size_t last_len;
	char last[EROFS_NAME_MOST + 1]; /* the name before */
};

/* The nids of all folders, in a table with room for twice as many; a nid is
 * never ~0. */
struct check_seen {
	uint64_t *nid;
	uint64_t count, room;
};

struct check {
	const struct erofs *erofs;
	struct erofs_limits limits;
	struct erofs_totals *totals;
	char *why;
	uint64_t names, steps;
	struct check_seen seen;
	uint32_t depth; /* of the folder that is looked through; 0: the root */
	struct check_folder *folder; /* depth_most + 1 of them */
	char path[CHECK_PATH + 1];
};

/* Names may hold what moves a terminal's cursor. */
static void check_print(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static int check_fail(struct check *check, int code, const char *words)
{
	size_t len = strlen(check->path);
	const char *path = check->path;

	if (len > 300)
		path += len - 300;
	snprintf(check->why, EROFS_WHY, "%s%.300s: %s",
		 path > check->path ? "..." : "/", path, words);
	check_print(check->why);
	return code;
}

/* ---- folders that were seen -------------------------------------------------- */

static uint64_t *check_slot(const struct check_seen *seen, uint64_t nid)
{
	uint64_t at = nid * UINT64_C(0x9e3779b97f4a7c15) >> 20;

	while (seen->nid[at & (seen->room - 1)] != ~UINT64_C(0) &&
	       seen->nid[at & (seen->room - 1)] != nid)
		at++;
	return &seen->nid[at & (seen->room - 1)];
}

static bool check_grow(struct check_seen *seen)
{
	struct check_seen more = { .room = seen->room ? 2 * seen->room : 64 };

	more.nid = malloc(more.room * sizeof *more.nid);
	if (!more.nid)
		return false;
	memset(more.nid, 0xff, more.room * sizeof *more.nid);
	for (uint64_t i = 0; i < seen->room; i++)
		if (seen->nid[i] != ~UINT64_C(0))
			*check_slot(&more, seen->nid[i]) = seen->nid[i];
	more.count = seen->count;
	free(seen->nid);
	*seen = more;
	return true;
}

static int check_see(struct check *check, uint64_t nid)
{
	struct check_seen *seen = &check->seen;
	uint64_t *slot;

	if (2 * seen->count >= seen->room && !check_grow(seen))
		return check_fail(check, EROFS_IO, "no memory to check it");
	slot = check_slot(seen, nid);
	if (*slot == nid)
		return check_fail(check, EROFS_BROKEN,
				  "this folder lies in two folders");
	*slot = nid;
	seen->count++;
	return 0;
}

/* ---- links ------------------------------------------------------------------ */

/* What is left of a path that is walked as the kernel would. */
struct check_way {
	struct erofs_node at; /* a folder */
	char rest[2 * CHECK_PATH + 2];
	int links;
};

static int check_target(struct check *check, const struct erofs_node *link,
			char to[CHECK_PATH])
{
	int64_t n;

	if (link->size == 0 || link->size >= CHECK_PATH)
		return check_fail(check, EROFS_BROKEN,
				  "a link of no length "
				  "that links have");
	n = erofs_read(check->erofs, link, 0, to, link->size);
	if (n < 0)
		return check_fail(check, (int)n, "this link cannot be read");
	to[link->size] = 0;
	if (strlen(to) != link->size)
		return check_fail(check, EROFS_BROKEN, "a 0 within a link");
	return 0;
}

/* 1: the way goes on, 0: it ends, and fine. */
static int check_follow(struct check *check, struct check_way *way,
			const struct erofs_node *link)
{
	char target[CHECK_PATH];
	size_t len = link->size, rest = strlen(way->rest);
	int r = check_target(check, link, target);

	if (r < 0)
		return r;
	if (target[0] == '/')
		return check->limits.allow_absolute
			       ? 0
			       : check_fail(check, EROFS_FOREIGN,
					    "this link leads to an absolute "
					    "path");
	if (++way->links > CHECK_LINKS)
		return 0;
	if (len + 1 + rest + 1 > sizeof way->rest)
		return check_fail(check, EROFS_FOREIGN,
				  "this link leads on and on");
	memmove(way->rest + len + 1, way->rest, rest + 1);
	memcpy(way->rest, target, len);
	way->rest[len] = '/';
	return 1;
}

/* That a folder's ".." is its parent is seen where that folder is looked
 * through: if it is not, the image is refused there. */
static int check_step(struct check *check, struct check_way *way,
		      const char *name, size_t len)
{
	struct erofs_node node;
	const char *why;
	uint64_t nid;
	int r;

	if (++check->steps > CHECK_STEPS)
		return check_fail(check, EROFS_FOREIGN,
				  "the image's links lead through too many "
				  "folders");
	if (len == 0 || (len == 1 && name[0] == '.'))
		return 1;
	if (len == 2 && name[0] == '.' && name[1] == '.' &&
	    way->at.nid == check->erofs->root_nid)
		return check_fail(check, EROFS_FOREIGN,
				  "this link leads out of the image");
	r = erofs_find(check->erofs, &way->at, name, len, &nid);
	if (r == EROFS_MISSING)
		return 0;
	if (r >= 0)
		r = erofs_node(check->erofs, nid, &node, &why);
	if (r < 0)
		return check_fail(check, r,
				  "this link leads to what is "
				  "broken");
	if ((node.mode & EROFS_S_KIND) == EROFS_S_LINK)
		return check_follow(check, way, &node);
	if ((node.mode & EROFS_S_KIND) != EROFS_S_FOLDER)
		return 0;
	way->at = node;
	return 1;
}

static int check_link(struct check *check, const struct erofs_node *link)
{
	struct check_way way = { .at = check->folder[check->depth].node };
	int r = check_follow(check, &way, link);

	while (r > 0 && way.rest[0]) {
		char name[EROFS_NAME_MOST + 1];
		size_t len = strcspn(way.rest, "/");
		size_t all = len + (way.rest[len] == '/');

		if (len > EROFS_NAME_MOST)
			return 0; /* there is no such name */
		memcpy(name, way.rest, len);
		memmove(way.rest, way.rest + all, strlen(way.rest + all) + 1);
		r = check_step(check, &way, name, len);
	}
	return r < 0 ? r : 0;
}

/* ---- nodes ------------------------------------------------------------------ */

static int check_file(struct check *check, const struct erofs_node *node)
{
	if (node->mode & CHECK_SET_ID)
		return check_fail(check, EROFS_FOREIGN,
				  "a file that sets the user or the group");
	check->totals->files++;
	if (node->size > check->limits.bytes_most - check->totals->bytes)
		return check_fail(check, EROFS_FOREIGN,
				  "with this file there are more bytes than "
				  "allowed");
	check->totals->bytes += node->size;
	return 0;
}

/* Goes down into it. */
static int check_enter(struct check *check, const struct erofs_node *node)
{
	struct check_folder *above = &check->folder[check->depth];
	struct check_folder *folder = above + 1;
	int r = check_see(check, node->nid);

	if (r < 0)
		return r;
	if (check->depth == check->limits.depth_most)
		return check_fail(check, EROFS_FOREIGN,
				  "folders lie in one another too deeply");
	check->totals->folders++;
	check->depth++;
	*folder = (struct check_folder){
		.node = *node,
		.above = above->node.nid,
		.path_len = strlen(check->path),
	};
	return 0;
}

static int check_kind(uint32_t mode)
{
	static const struct {
		uint32_t mode;
		int kind;
	} kinds[] = {
		{ EROFS_S_FILE, EROFS_KIND_FILE },
		{ EROFS_S_FOLDER, EROFS_KIND_FOLDER },
		{ EROFS_S_LINK, EROFS_KIND_LINK },
		{ 0020000, EROFS_KIND_CHARACTERS },
		{ 0060000, EROFS_KIND_BLOCKS },
		{ 0010000, EROFS_KIND_FIFO },
		{ 0140000, EROFS_KIND_SOCKET },
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].mode == (mode & EROFS_S_KIND) &&
		    mode <= (EROFS_S_KIND | CHECK_RIGHTS))
			return kinds[i].kind;
	return EROFS_KIND_UNKNOWN;
}

static int check_node(struct check *check, const struct erofs_entry *entry)
{
	const char *why = "it is broken";
	struct erofs_node node;
	int r = erofs_node(check->erofs, entry->nid, &node, &why);

	if (r < 0)
		return check_fail(check, r, why);
	if (check_kind(node.mode) != entry->kind)
		return check_fail(check, EROFS_BROKEN,
				  "its folder tells another kind than its "
				  "inode");
	switch (entry->kind) {
	case EROFS_KIND_FILE: return check_file(check, &node);
	case EROFS_KIND_FOLDER: return check_enter(check, &node);
	case EROFS_KIND_LINK:
		check->totals->links++;
		return check_link(check, &node);
	case EROFS_KIND_CHARACTERS:
	case EROFS_KIND_BLOCKS:
		return check_fail(check, EROFS_FOREIGN, "a device");
	case EROFS_KIND_FIFO: return check_fail(check, EROFS_FOREIGN, "a fifo");
	case EROFS_KIND_SOCKET:
		return check_fail(check, EROFS_FOREIGN, "a socket");
	}
	return check_fail(check, EROFS_BROKEN, "it is of no known kind");
}

/* ---- names ------------------------------------------------------------------ */

static int check_order(struct check *check, struct check_folder *folder,
		       const struct erofs_entry *entry)
{
	int order = strcmp(folder->last, entry->name);

	if (folder->last_len && order == 0)
		return check_fail(check, EROFS_BROKEN, "it is there twice");
	if (folder->last_len && order > 0)
		return check_fail(check, EROFS_BROKEN,
				  "its folder is not sorted");
	memcpy(folder->last, entry->name, entry->len + 1);
	folder->last_len = entry->len;
	return 0;
}

static int check_dots(struct check *check, struct check_folder *folder,
		      const struct erofs_entry *entry)
{
	uint64_t nid = entry->len == 1 ? folder->node.nid : folder->above;

	folder->dot |= entry->len == 1;
	folder->dots |= entry->len == 2;
	if (entry->nid != nid || entry->kind != EROFS_KIND_FOLDER)
		return check_fail(check, EROFS_BROKEN,
				  entry->len == 1
					  ? "its \".\" is another folder"
					  : "its \"..\" is not its parent");
	return 0;
}

static bool check_is_dots(const struct erofs_entry *entry)
{
	return strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0;
}

static int check_entry(struct check *check, struct check_folder *folder,
		       const struct erofs_entry *entry)
{
	size_t at = folder->path_len;
	int r;

	if (++check->names > 3 * check->limits.nodes_most)
		return check_fail(check, EROFS_FOREIGN,
				  "more names than "
				  "allowed");
	if (check_is_dots(entry)) {
		r = check_order(check, folder, entry);
		return r < 0 ? r : check_dots(check, folder, entry);
	}
	if (at + 1 + entry->len > CHECK_PATH - 1)
		return check_fail(check, EROFS_FOREIGN,
				  "a path in it is too long");
	if (at)
		check->path[at++] = '/';
	memcpy(check->path + at, entry->name, entry->len + 1);
	if (check->totals->files + check->totals->links +
		    check->totals->folders >=
	    check->limits.nodes_most)
		return check_fail(check, EROFS_FOREIGN,
				  "there are more files than allowed");
	r = check_order(check, folder, entry);
	return r < 0 ? r : check_node(check, entry);
}

/* ---- all of it --------------------------------------------------------------- */

static int check_leave(struct check *check, const struct check_folder *folder)
{
	if (!folder->dot || !folder->dots)
		return check_fail(check, EROFS_BROKEN,
				  "a folder without \".\" and \"..\"");
	return 0;
}

/* The next entry of the innermost folder; 0 when the root's are over. */
static int check_next(struct check *check)
{
	struct check_folder *folder = &check->folder[check->depth];
	const char *why = "it is broken";
	struct erofs_entry entry;
	int r;

	check->path[folder->path_len] = 0;
	r = erofs_entry(check->erofs, &folder->node, folder->cookie, &entry,
			&why);
	if (r < 0)
		return check_fail(check, r, why);
	if (r == 0) {
		r = check_leave(check, folder);
		if (r < 0 || check->depth == 0)
			return r;
		check->depth--;
		return 1;
	}
	folder->cookie = entry.next;
	r = check_entry(check, folder, &entry);
	return r < 0 ? r : 1;
}

static int check_root(struct check *check)
{
	struct check_folder *root = check->folder;
	const char *why = "it is broken";
	uint64_t nid = check->erofs->root_nid;
	int r = erofs_node(check->erofs, nid, &root->node, &why);

	if (r < 0)
		return check_fail(check, r, why);
	if ((root->node.mode & EROFS_S_KIND) != EROFS_S_FOLDER)
		return check_fail(check, EROFS_BROKEN, "it is no folder");
	root->above = nid;
	check->totals->folders = 1;
	return check_see(check, nid);
}

static void check_default(struct erofs_limits *limits)
{
	if (!limits->nodes_most)
		limits->nodes_most = CHECK_NODES;
	if (!limits->bytes_most)
		limits->bytes_most = CHECK_BYTES;
	if (!limits->depth_most)
		limits->depth_most = CHECK_DEPTH;
}

static int check_all(struct check *check)
{
	int r = check_root(check);

	if (r >= 0)
		do
			r = check_next(check);
		while (r > 0);
	return r;
}

int erofs_check(const struct erofs *erofs, const struct erofs_limits *limits,
		struct erofs_totals *totals, char why[EROFS_WHY])
{
	struct check *check = calloc(1, sizeof *check);
	int r;

	*totals = (struct erofs_totals){ 0 };
	why[0] = 0;
	if (!check)
		return EROFS_IO;
	*check = (struct check){
		.erofs = erofs,
		.limits = limits ? *limits : (struct erofs_limits){ 0 },
		.totals = totals,
		.why = why,
	};
	check_default(&check->limits);
	check->folder = calloc((size_t)check->limits.depth_most + 1,
			       sizeof *check->folder);
	r = check->folder
		    ? check_all(check)
		    : check_fail(check, EROFS_IO, "no memory to check it");
	free(check->folder);
	free(check->seen.nid);
	free(check);
	return r;
}
