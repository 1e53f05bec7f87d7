/* SPDX-License-Identifier: Apache-2.0 */
/* A folder served through FUSE by the kernel's own protocol, by a server that
 * fails when it is told to.
 *
 *	share_fuse FOLDER MOUNTPOINT
 *
 * It says "ready", takes orders on its standard input, a line each, and
 * answers each with "done REQUESTS": how many requests of the kernel's it had
 * since the last order that changed what it does.
 *
 *	ok		no fault any more; what is held is answered
 *	freeze		no request is read any more
 *	hold N		the N-th request from now on is read and not answered
 *			(who waits for it cannot even be killed), none behind
 *			it is read
 *	fail CODE WHAT	all requests of a kind fail: read, write, all
 *	once N CODE	the N-th request from now on fails
 *	short		a read gives half of what there is
 *	delay MS	each request takes so long
 *	trace		on standard error, a line for each request, until "ok"
 *	count		changes nothing
 *
 * The end of its input, or SIGTERM, ends it: it unmounts, and the kernel gives
 * up all that waits.  One process, one request at a time; nothing is cached
 * but pages of open files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	SERVER_WRITE_MOST = 128 * 1024,
	SERVER_ROOM = SERVER_WRITE_MOST + 8192,
	SERVER_LINE = 200,
};

/* Each file that the kernel knows, held open; ids are never used again. */
struct node {
	int fd; /* -1: forgotten */
	dev_t dev;
	ino_t ino;
	uint64_t lookups;
};

struct server {
	int fuse;
	const char *at;
	struct node *node; /* node[0] is nobody, node[1] the root */
	size_t count, room;

	/* orders */
	bool frozen, holds, is_short, traces;
	uint64_t requests, hold_at, once_at;
	int once_code, read_code, write_code, all_code;
	long delay_ms;
	char line[SERVER_LINE];
	size_t line_len;

	char *in; /* the request; while "holds", not answered yet */
	size_t in_len;
	char out[SERVER_ROOM];
	size_t out_len;
};

/* ---- nodes -------------------------------------------------------------------- */

static uint64_t node_room(struct server *server)
{
	if (server->count == server->room) {
		server->room = server->room ? 2 * server->room : 64;
		server->node = realloc(server->node,
				       server->room * sizeof *server->node);
		if (!server->node)
			exit(111);
	}
	return server->count++;
}

/* Takes fd. */
static uint64_t node_of(struct server *server, int fd, const struct stat *st)
{
	uint64_t id;

	for (id = 1; id < server->count; id++) {
		struct node *node = &server->node[id];

		if (node->fd >= 0 && node->dev == st->st_dev &&
		    node->ino == st->st_ino) {
			close(fd);
			node->lookups++;
			return id;
		}
	}
	id = node_room(server);
	server->node[id] = (struct node){ fd, st->st_dev, st->st_ino, 1 };
	return id;
}

static void node_forget(struct server *server, uint64_t id, uint64_t lookups)
{
	struct node *node;

	if (id < 2 || id >= server->count)
		return;
	node = &server->node[id];
	node->lookups -= lookups < node->lookups ? lookups : node->lookups;
	if (node->lookups)
		return;
	close(node->fd);
	node->fd = -1;
}

static int node_fd(const struct server *server, uint64_t id)
{
	return id && id < server->count ? server->node[id].fd : -1;
}

/* A file that is open without rights, by a name that opens it with some. */
static void node_path(const struct server *server, uint64_t id, char path[32])
{
	snprintf(path, 32, "/proc/self/fd/%d", node_fd(server, id));
}

/* ---- answers ------------------------------------------------------------------ */

static void *out_add(struct server *server, size_t len)
{
	void *at = server->out + server->out_len;

	memset(at, 0, len);
	server->out_len += len;
	return at;
}

static void out_attributes(const struct stat *st, struct fuse_attr *attr)
{
	attr->ino = st->st_ino;
	attr->size = (uint64_t)st->st_size;
	attr->blocks = (uint64_t)st->st_blocks;
	attr->atime = (uint64_t)st->st_atim.tv_sec;
	attr->mtime = (uint64_t)st->st_mtim.tv_sec;
	attr->ctime = (uint64_t)st->st_ctim.tv_sec;
	attr->atimensec = (uint32_t)st->st_atim.tv_nsec;
	attr->mtimensec = (uint32_t)st->st_mtim.tv_nsec;
	attr->ctimensec = (uint32_t)st->st_ctim.tv_nsec;
	attr->mode = st->st_mode;
	attr->nlink = (uint32_t)st->st_nlink;
	attr->uid = st->st_uid;
	attr->gid = st->st_gid;
	attr->rdev = (uint32_t)st->st_rdev;
	attr->blksize = (uint32_t)st->st_blksize;
}

static int out_entry(struct server *server, uint64_t parent, const char *name)
{
	int fd = openat(node_fd(server, parent), name,
			O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct fuse_entry_out *out;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	out = out_add(server, sizeof *out);
	out->nodeid = node_of(server, fd, &st);
	out_attributes(&st, &out->attr);
	return 0;
}

static int out_attr(struct server *server, uint64_t id)
{
	struct fuse_attr_out *out;
	struct stat st;

	if (fstat(node_fd(server, id), &st) < 0)
		return -errno;
	out = out_add(server, sizeof *out);
	out_attributes(&st, &out->attr);
	return 0;
}

static void out_open(struct server *server, int fd)
{
	struct fuse_open_out *out = out_add(server, sizeof *out);

	out->fh = (uint64_t)fd;
}

static int out_done(int rc)
{
	return rc < 0 ? -errno : 0;
}

/* ---- requests ------------------------------------------------------------------ */

struct request {
	const struct fuse_in_header *head;
	const void *in; /* what follows; names in it end with a 0 */
	const char *name;
};
typedef int request_do(struct server *server, const struct request *request);

static int do_init(struct server *server, const struct request *request)
{
	const struct fuse_init_in *in = request->in;
	struct fuse_init_out *out = out_add(server, sizeof *out);

	out->major = FUSE_KERNEL_VERSION;
	out->minor = FUSE_KERNEL_MINOR_VERSION;
	out->max_readahead = in->max_readahead;
	out->flags = in->flags & (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC |
				  FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS);
	out->max_background = 16;
	out->congestion_threshold = 12;
	out->max_write = SERVER_WRITE_MOST;
	out->time_gran = 1;
	return 0;
}

static int do_lookup(struct server *server, const struct request *request)
{
	return out_entry(server, request->head->nodeid, request->in);
}

static int do_getattr(struct server *server, const struct request *request)
{
	return out_attr(server, request->head->nodeid);
}

static int set_times(const char *path, const struct fuse_setattr_in *in)
{
	const struct timespec times[2] = {
		{ (time_t)in->atime, in->valid & FATTR_ATIME_NOW ? UTIME_NOW
				     : in->valid & FATTR_ATIME
					     ? (long)in->atimensec
					     : UTIME_OMIT },
		{ (time_t)in->mtime, in->valid & FATTR_MTIME_NOW ? UTIME_NOW
				     : in->valid & FATTR_MTIME
					     ? (long)in->mtimensec
					     : UTIME_OMIT },
	};

	return in->valid & (FATTR_ATIME | FATTR_MTIME)
		       ? utimensat(AT_FDCWD, path, times, 0)
		       : 0;
}

static int do_setattr(struct server *server, const struct request *request)
{
	const struct fuse_setattr_in *in = request->in;
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
	char path[32];
	int rc = 0;

	node_path(server, request->head->nodeid, path);
	if (in->valid & FATTR_MODE)
		rc = chmod(path, in->mode & 07777);
	if (rc >= 0 && in->valid & (FATTR_UID | FATTR_GID))
		rc = chown(path, uid, gid);
	if (rc >= 0 && in->valid & FATTR_SIZE)
		rc = truncate(path, (off_t)in->size);
	if (rc >= 0)
		rc = set_times(path, in);
	return rc < 0 ? -errno : out_attr(server, request->head->nodeid);
}

static int do_readlink(struct server *server, const struct request *request)
{
	ssize_t len = readlinkat(node_fd(server, request->head->nodeid), "",
				 server->out + server->out_len, 4096);

	if (len < 0)
		return -errno;
	server->out_len += (size_t)len;
	return 0;
}

static int do_symlink(struct server *server, const struct request *request)
{
	const char *name = request->in;
	uint64_t parent = request->head->nodeid;

	return symlinkat(name + strlen(name) + 1, node_fd(server, parent),
			 name) < 0
		       ? -errno
		       : out_entry(server, parent, name);
}

static int do_mkdir(struct server *server, const struct request *request)
{
	const struct fuse_mkdir_in *in = request->in;
	uint64_t parent = request->head->nodeid;
	const char *name = (const char *)(in + 1);

	return mkdirat(node_fd(server, parent), name, in->mode & ~in->umask) < 0
		       ? -errno
		       : out_entry(server, parent, name);
}

static int do_mknod(struct server *server, const struct request *request)
{
	const struct fuse_mknod_in *in = request->in;
	uint64_t parent = request->head->nodeid;
	const char *name = (const char *)(in + 1);

	return mknodat(node_fd(server, parent), name, in->mode & ~in->umask,
		       in->rdev) < 0
		       ? -errno
		       : out_entry(server, parent, name);
}

static int do_unlink(struct server *server, const struct request *request)
{
	return out_done(unlinkat(node_fd(server, request->head->nodeid),
				 request->in, 0));
}

static int do_rmdir(struct server *server, const struct request *request)
{
	return out_done(unlinkat(node_fd(server, request->head->nodeid),
				 request->in, AT_REMOVEDIR));
}

static int rename_as(struct server *server, const struct request *request,
		     uint64_t to, unsigned flags, const char *name)
{
	return out_done((int)syscall(
		SYS_renameat2, node_fd(server, request->head->nodeid), name,
		node_fd(server, to), name + strlen(name) + 1, flags));
}

static int do_rename(struct server *server, const struct request *request)
{
	const struct fuse_rename_in *in = request->in;

	return rename_as(server, request, in->newdir, 0,
			 (const char *)(in + 1));
}

static int do_rename2(struct server *server, const struct request *request)
{
	const struct fuse_rename2_in *in = request->in;

	return rename_as(server, request, in->newdir, in->flags,
			 (const char *)(in + 1));
}

static int do_link(struct server *server, const struct request *request)
{
	const struct fuse_link_in *in = request->in;
	uint64_t parent = request->head->nodeid;
	const char *name = (const char *)(in + 1);
	char path[32];

	node_path(server, in->oldnodeid, path);
	return linkat(AT_FDCWD, path, node_fd(server, parent), name,
		      AT_SYMLINK_FOLLOW) < 0
		       ? -errno
		       : out_entry(server, parent, name);
}

static int do_open(struct server *server, const struct request *request)
{
	const struct fuse_open_in *in = request->in;
	char path[32];
	int fd;

	node_path(server, request->head->nodeid, path);
	/* O_DIRECT and O_APPEND are the kernel's affair. */
	fd = open(path, (int)((in->flags & (O_ACCMODE | O_TRUNC)) | O_CLOEXEC));
	if (fd < 0)
		return -errno;
	out_open(server, fd);
	return 0;
}

static int do_create(struct server *server, const struct request *request)
{
	const struct fuse_create_in *in = request->in;
	uint64_t parent = request->head->nodeid;
	const char *name = (const char *)(in + 1);
	int rc, fd = openat(node_fd(server, parent), name,
			    (int)((in->flags & (O_ACCMODE | O_TRUNC | O_EXCL)) |
				  O_CREAT | O_NOFOLLOW | O_CLOEXEC),
			    in->mode & ~in->umask & 07777);

	if (fd < 0)
		return -errno;
	rc = out_entry(server, parent, name);
	if (rc < 0)
		close(fd);
	else
		out_open(server, fd);
	return rc;
}

static int do_read(struct server *server, const struct request *request)
{
	const struct fuse_read_in *in = request->in;
	size_t most =
		in->size < SERVER_WRITE_MOST ? in->size : SERVER_WRITE_MOST;
	ssize_t len = pread((int)in->fh, server->out + server->out_len, most,
			    (off_t)in->offset);

	if (len < 0)
		return -errno;
	server->out_len += (size_t)(server->is_short ? len / 2 : len);
	return 0;
}

static int do_write(struct server *server, const struct request *request)
{
	const struct fuse_write_in *in = request->in;
	ssize_t len = pwrite((int)in->fh, in + 1, in->size, (off_t)in->offset);
	struct fuse_write_out *out;

	if (len < 0)
		return -errno;
	out = out_add(server, sizeof *out);
	out->size = (uint32_t)len;
	return 0;
}

static int do_statfs(struct server *server, const struct request *request)
{
	struct fuse_statfs_out *out = out_add(server, sizeof *out);
	struct statfs st;
	char path[32];

	node_path(server, request->head->nodeid, path);
	if (statfs(path, &st) < 0)
		return -errno;
	out->st.blocks = st.f_blocks;
	out->st.bfree = st.f_bfree;
	out->st.bavail = st.f_bavail;
	out->st.files = st.f_files;
	out->st.ffree = st.f_ffree;
	out->st.bsize = (uint32_t)st.f_bsize;
	out->st.frsize = (uint32_t)st.f_frsize;
	out->st.namelen = (uint32_t)st.f_namelen;
	return 0;
}

static int do_flush(struct server *server, const struct request *request)
{
	(void)server;
	(void)request;
	return 0;
}

static int do_fsync(struct server *server, const struct request *request)
{
	const struct fuse_fsync_in *in = request->in;

	(void)server;
	return out_done(fsync((int)in->fh));
}

static int do_release(struct server *server, const struct request *request)
{
	const struct fuse_release_in *in = request->in;

	(void)server;
	return out_done(close((int)in->fh));
}

static int do_opendir(struct server *server, const struct request *request)
{
	int fd = openat(node_fd(server, request->head->nodeid), ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	out_open(server, fd);
	return 0;
}

static void out_dirent(struct server *server, const struct dirent64 *from)
{
	size_t len = strlen(from->d_name);
	struct fuse_dirent *to =
		out_add(server, FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + len));

	to->ino = from->d_ino;
	to->off = (uint64_t)from->d_off;
	to->namelen = (uint32_t)len;
	to->type = from->d_type;
	memcpy(to->name, from->d_name, len);
}

/* A name takes no more room for the kernel than it takes there. */
static int do_readdir(struct server *server, const struct request *request)
{
	const struct fuse_read_in *in = request->in;
	char list[8192];
	size_t most = in->size < sizeof list ? in->size : sizeof list;
	ssize_t len = lseek((int)in->fh, (off_t)in->offset, SEEK_SET);

	if (len >= 0)
		len = getdents64((int)in->fh, list, most);
	if (len < 0)
		return -errno;
	for (ssize_t at = 0; at < len;) {
		const struct dirent64 *entry = (const void *)(list + at);

		at += entry->d_reclen;
		if (server->out_len - sizeof(struct fuse_out_header) +
			    FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET +
					      strlen(entry->d_name)) >
		    in->size)
			break;
		out_dirent(server, entry);
	}
	return 0;
}

enum request_kind { IS_OTHER, IS_READ, IS_WRITE };
static const struct {
	request_do *act;
	enum request_kind kind;
	const char *name;
} requests[] = {
	[FUSE_INIT] = { do_init, IS_OTHER, "init" },
	[FUSE_LOOKUP] = { do_lookup, IS_OTHER, "lookup" },
	[FUSE_GETATTR] = { do_getattr, IS_OTHER, "getattr" },
	[FUSE_SETATTR] = { do_setattr, IS_WRITE, "setattr" },
	[FUSE_READLINK] = { do_readlink, IS_OTHER, "readlink" },
	[FUSE_SYMLINK] = { do_symlink, IS_WRITE, "symlink" },
	[FUSE_MKNOD] = { do_mknod, IS_WRITE, "mknod" },
	[FUSE_MKDIR] = { do_mkdir, IS_WRITE, "mkdir" },
	[FUSE_UNLINK] = { do_unlink, IS_WRITE, "unlink" },
	[FUSE_RMDIR] = { do_rmdir, IS_WRITE, "rmdir" },
	[FUSE_RENAME] = { do_rename, IS_WRITE, "rename" },
	[FUSE_RENAME2] = { do_rename2, IS_WRITE, "rename2" },
	[FUSE_LINK] = { do_link, IS_WRITE, "link" },
	[FUSE_OPEN] = { do_open, IS_OTHER, "open" },
	[FUSE_CREATE] = { do_create, IS_WRITE, "create" },
	[FUSE_READ] = { do_read, IS_READ, "read" },
	[FUSE_WRITE] = { do_write, IS_WRITE, "write" },
	[FUSE_STATFS] = { do_statfs, IS_OTHER, "statfs" },
	[FUSE_FLUSH] = { do_flush, IS_OTHER, "flush" },
	[FUSE_FSYNC] = { do_fsync, IS_OTHER, "fsync" },
	[FUSE_FSYNCDIR] = { do_fsync, IS_OTHER, "fsyncdir" },
	[FUSE_RELEASE] = { do_release, IS_OTHER, "release" },
	[FUSE_RELEASEDIR] = { do_release, IS_OTHER, "releasedir" },
	[FUSE_OPENDIR] = { do_opendir, IS_OTHER, "opendir" },
	[FUSE_READDIR] = { do_readdir, IS_OTHER, "readdir" },
};
enum { REQUESTS = sizeof requests / sizeof *requests };

/* ---- served -------------------------------------------------------------------- */

/* What the kernel wants no answer to. */
static bool serve_unasked(struct server *server,
			  const struct fuse_in_header *head)
{
	const struct fuse_forget_in *one = (const void *)(head + 1);
	const struct fuse_batch_forget_in *batch = (const void *)(head + 1);
	const struct fuse_forget_one *each = (const void *)(batch + 1);

	if (head->opcode == FUSE_FORGET)
		node_forget(server, head->nodeid, one->nlookup);
	else if (head->opcode == FUSE_BATCH_FORGET)
		for (uint32_t i = 0; i < batch->count; i++)
			node_forget(server, each[i].nodeid, each[i].nlookup);
	else
		return head->opcode == FUSE_INTERRUPT;
	return true;
}

/* The fault that this request shall have: a code, or 0. */
static int serve_fault(const struct server *server,
		       const struct fuse_in_header *head)
{
	enum request_kind kind = head->opcode < REQUESTS
					 ? requests[head->opcode].kind
					 : IS_OTHER;
	const struct fuse_open_in *open = (const void *)(head + 1);

	if (head->opcode == FUSE_INIT)
		return 0;
	if (head->opcode == FUSE_OPEN && (open->flags & O_ACCMODE) != O_RDONLY)
		kind = server->write_code == -EROFS ? IS_WRITE : IS_OTHER;
	if (server->once_at && server->requests == server->once_at)
		return server->once_code;
	if (server->all_code)
		return server->all_code;
	if (kind == IS_READ)
		return server->read_code;
	return kind == IS_WRITE ? server->write_code : 0;
}

static void serve_answer(struct server *server)
{
	const struct fuse_in_header *head = (const void *)server->in;
	const struct request request = { head, head + 1, NULL };
	struct fuse_out_header *out;
	int rc = serve_fault(server, head);

	server->out_len = 0;
	out = out_add(server, sizeof *out);
	if (rc == 0)
		rc = head->opcode < REQUESTS && requests[head->opcode].act
			     ? requests[head->opcode].act(server, &request)
			     : -ENOSYS;
	if (rc < 0)
		server->out_len = sizeof *out;
	out->len = (uint32_t)server->out_len;
	out->error = rc;
	out->unique = head->unique;
	if (server->traces)
		fprintf(stderr, "%lu %s node %lu: %s\n",
			(unsigned long)server->requests,
			head->opcode < REQUESTS && requests[head->opcode].name
				? requests[head->opcode].name
				: "?",
			(unsigned long)head->nodeid, strerror(-rc));
	/* Who asked may have been killed meanwhile: ENOENT. */
	(void)!write(server->fuse, server->out, server->out_len);
}

/* False: the file system is gone. */
static bool serve_one(struct server *server)
{
	ssize_t len = read(server->fuse, server->in, SERVER_ROOM);
	const struct fuse_in_header *head = (const void *)server->in;

	if (len < 0)
		return errno == EINTR || errno == EAGAIN || errno == ENOENT;
	server->in_len = (size_t)len;
	if (serve_unasked(server, head))
		return true;
	server->requests++;
	if (server->hold_at && server->requests >= server->hold_at) {
		server->holds = true;
		return true;
	}
	if (server->delay_ms) {
		const struct timespec pause = {
			server->delay_ms / 1000,
			server->delay_ms % 1000 * 1000000,
		};

		nanosleep(&pause, NULL);
	}
	serve_answer(server);
	return true;
}

/* ---- orders -------------------------------------------------------------------- */

static int order_code(const char *name)
{
	static const struct {
		const char *name;
		int code;
	} codes[] = {
		{ "EIO", -EIO },       { "ENOSPC", -ENOSPC },
		{ "EROFS", -EROFS },   { "ESTALE", -ESTALE },
		{ "EACCES", -EACCES }, { "ENOENT", -ENOENT },
		{ "EDQUOT", -EDQUOT }, { "ENOTCONN", -ENOTCONN },
		{ "EEXIST", -EEXIST },
	};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (strcmp(name, codes[i].name) == 0)
			return codes[i].code;
	return 0;
}

static void order_none(struct server *server)
{
	bool held = server->holds;

	server->frozen = server->holds = server->is_short = false;
	server->traces = false;
	server->hold_at = server->once_at = 0;
	server->read_code = server->write_code = server->all_code = 0;
	server->delay_ms = 0;
	if (held)
		serve_answer(server);
}

static bool order_fail(struct server *server, const char *code,
		       const char *what)
{
	int value = order_code(code);

	if (strcmp(what, "read") == 0)
		server->read_code = value;
	else if (strcmp(what, "write") == 0)
		server->write_code = value;
	else if (strcmp(what, "all") == 0)
		server->all_code = value;
	else
		return false;
	return value != 0;
}

static bool order_take(struct server *server, const char *line)
{
	char code[20], what[20];
	unsigned long at;

	if (strcmp(line, "count") == 0)
		return true;
	if (strcmp(line, "ok") == 0)
		order_none(server);
	else if (strcmp(line, "freeze") == 0)
		server->frozen = true;
	else if (strcmp(line, "short") == 0)
		server->is_short = true;
	else if (strcmp(line, "trace") == 0)
		server->traces = true;
	else if (sscanf(line, "hold %lu", &at) == 1)
		server->hold_at = at;
	else if (sscanf(line, "delay %ld", &server->delay_ms) == 1)
		;
	else if (sscanf(line, "fail %19s %19s", code, what) == 2)
		return order_fail(server, code, what);
	else if (sscanf(line, "once %lu %19s", &at, code) == 2) {
		server->once_at = at;
		server->once_code = order_code(code);
	} else
		return false;
	return true;
}

static void order_line(struct server *server)
{
	uint64_t requests_before = server->requests;

	server->line[server->line_len] = 0;
	server->line_len = 0;
	if (strcmp(server->line, "count") != 0)
		server->requests = 0;
	if (order_take(server, server->line))
		printf("done %lu\n", (unsigned long)requests_before);
	else
		printf("what is \"%s\"?\n", server->line);
	fflush(stdout);
}

/* False: nobody gives orders any more. */
static bool order_read(struct server *server)
{
	char c;

	if (read(0, &c, 1) != 1)
		return false;
	if (c == '\n')
		order_line(server);
	else if (server->line_len < SERVER_LINE - 1)
		server->line[server->line_len++] = c;
	return true;
}

/* ---- begun and ended ------------------------------------------------------------- */

static int ended[2];

static void end_server(int number)
{
	(void)number;
	(void)!write(ended[1], "", 1);
}

static int server_mount(struct server *server, const char *folder)
{
	char options[128];
	struct stat st;
	int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	server->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (root < 0 || server->fuse < 0 || fstat(root, &st) < 0)
		return -errno;
	node_room(server);
	server->node[0].fd = -1;
	node_of(server, root, &st);
	snprintf(options, sizeof options,
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,"
		 "default_permissions",
		 server->fuse);
	return out_done(mount("share_fuse", server->at, "fuse.share_fuse",
			      MS_NOSUID | MS_NODEV, options));
}

static void server_loop(struct server *server)
{
	for (bool goes_on = true; goes_on;) {
		struct pollfd wait[] = {
			{ ended[0], POLLIN, 0 },
			{ 0, POLLIN, 0 },
			{ server->frozen || server->holds ? -1 : server->fuse,
			  POLLIN, 0 },
		};

		if (poll(wait, 3, -1) < 0)
			continue;
		if (wait[0].revents)
			return;
		if (wait[1].revents)
			goes_on = order_read(server);
		else if (wait[2].revents & POLLERR)
			return;
		else if (wait[2].revents)
			goes_on = serve_one(server);
	}
}

int main(int argc, char **argv)
{
	static struct server server;
	const struct rlimit files = { 65536, 65536 };
	int rc;

	if (argc != 3 || pipe2(ended, O_CLOEXEC) < 0)
		return 100;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGTERM, end_server);
	signal(SIGPIPE, SIG_IGN);
	umask(0);
	server.at = argv[2];
	server.in = malloc(SERVER_ROOM);
	rc = server.in ? server_mount(&server, argv[1]) : -ENOMEM;
	if (rc < 0) {
		fprintf(stderr, "share_fuse: %s\n", strerror(-rc));
		return 111;
	}
	printf("ready\n");
	fflush(stdout);
	server_loop(&server);
	umount2(server.at, MNT_DETACH);
	return 0;
}
