/* SPDX-License-Identifier: Apache-2.0 */
/* All that can be seen in an image of files, which is granted as /app, and
 * what cannot be done there; /out is a folder of the host's beside it. */
#include "../tell.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

static const char *const paths[] = {
	"/app",
	"/app/",
	"/app/hello",
	"/app/hello/",
	"/app/hello/x",
	"/app/none",
	"/app/none/x",
	"/app/sub",
	"/app/sub/deep/leaf",
	"/app/sub/../hello",
	"/app/sub/../..",
	"/app/../hello",
	"/app/link",
	"/app/link/",
	"/app/folder",
	"/app/folder/inner",
	"/app/abs",
	"/app/sub/deep/high",
	"/app/empty",
	"/app//sub/./deep//leaf",
	"/app/sub/deep/../../sub/inner",
};

static const char *kind(mode_t mode)
{
	return S_ISDIR(mode)   ? "folder"
	       : S_ISREG(mode) ? "file"
	       : S_ISLNK(mode) ? "link"
			       : "?";
}

static void look(const char *path)
{
	struct stat stat_is, link_is;
	int fd = open(path, O_RDONLY);
	int error = errno;

	printf("\"%s\": open %s", path, fd < 0 ? tell_name(error) : "ok");
	if (stat(path, &stat_is) < 0)
		printf(", stat %s", tell_name(errno));
	else
		printf(", %s of %lld", kind(stat_is.st_mode),
		       S_ISDIR(stat_is.st_mode) ? 0
						: (long long)stat_is.st_size);
	if (lstat(path, &link_is) < 0)
		printf(", lstat %s\n", tell_name(errno));
	else
		printf(", %s, %lld\n", kind(link_is.st_mode),
		       (long long)link_is.st_mtim.tv_sec);
	if (fd >= 0)
		close(fd);
}

static void list(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	printf("%s:\n", path);
	while (folder && (entry = readdir(folder)))
		printf("  %s %d\n", entry->d_name, entry->d_type);
	if (folder)
		closedir(folder);
}

/* In pieces, and again from a cookie. */
static void list_slowly(int fd)
{
	uint8_t bytes[40];
	__wasi_dircookie_t cookie = 0;
	__wasi_dirent_t head;
	__wasi_size_t used;
	int count = 0;

	while (__wasi_fd_readdir(fd, bytes, sizeof bytes, cookie, &used) == 0 &&
	       used >= sizeof head) {
		memcpy(&head, bytes, sizeof head);
		cookie = head.d_next;
		count++;
	}
	printf("%d entries\n", count);
	TELL_WASI(__wasi_fd_readdir(fd, bytes, sizeof bytes, 7, &used));
	TELL_WASI(
		__wasi_fd_readdir(fd, bytes, sizeof bytes, UINT64_MAX, &used));
}

static void read_some(void)
{
	char bytes[16] = { 0 };
	int fd = open("/app/hello", O_RDONLY), none;
	struct stat at;

	printf("%zd \"%s\"\n", read(fd, bytes, 5), bytes);
	printf("at %lld\n", (long long)lseek(fd, 0, SEEK_CUR));
	printf("%zd\n", pread(fd, bytes, 5, 6));
	printf("\"%s\" at %lld\n", bytes, (long long)lseek(fd, 0, SEEK_CUR));
	printf("%lld\n", (long long)lseek(fd, -3, SEEK_END));
	printf("%zd\n", read(fd, bytes, sizeof bytes));
	printf("%zd\n", read(fd, bytes, sizeof bytes));
	TELL(lseek(fd, -1, SEEK_SET));
	TELL(lseek(fd, INT64_MAX, SEEK_END));
	printf("%lld\n", (long long)lseek(fd, 1000000, SEEK_SET));
	printf("%zd\n", read(fd, bytes, sizeof bytes));
	TELL(fstat(fd, &at));
	TELL(write(fd, "x", 1));
	TELL(pwrite(fd, "x", 1, 0));
	TELL(ftruncate(fd, 0));
	TELL(futimens(fd, NULL));
	TELL(fsync(fd));
	TELL(posix_fadvise(fd, 0, 10, POSIX_FADV_WILLNEED));
	TELL(fcntl(fd, F_SETFL, O_NONBLOCK));
	printf("%d\n", fcntl(fd, F_GETFL) & O_NONBLOCK ? 1 : 0);
	none = open("/app/sub", O_RDONLY | O_DIRECTORY);
	TELL(read(none, bytes, 1));
	TELL(openat(none, "inner", O_RDONLY) < 0 ? -1 : 0);
	TELL(openat(none, "../hello", O_RDONLY));
	TELL_WASI(__wasi_sock_shutdown(fd, 1));
	TELL_WASI(__wasi_fd_renumber(fd, none));
	lseek(none, 0, SEEK_SET);
	printf("%zd \"%.5s\"\n", read(none, bytes, 5), bytes);
	TELL_WASI(__wasi_fd_renumber(none, 0));
	TELL_WASI(__wasi_fd_close(fd));
	TELL_WASI(__wasi_fd_close(none));
	TELL_WASI(__wasi_fd_close(none));
}

static void change(void)
{
	struct stat at;

	TELL(open("/app/hello", O_WRONLY));
	TELL(open("/app/hello", O_RDWR));
	TELL(open("/app/hello", O_RDONLY | O_TRUNC));
	TELL(open("/app/hello", O_RDONLY | O_CREAT | O_EXCL, 0644));
	TELL(open("/app/link", O_RDONLY | O_NOFOLLOW));
	TELL(open("/app/hello", O_RDONLY | O_DIRECTORY));
	TELL(open("/app/sub", O_WRONLY));
	TELL(open("/app/new", O_WRONLY | O_CREAT, 0644));
	TELL(open("/app/none/new", O_WRONLY | O_CREAT, 0644));
	TELL(mkdir("/app/made", 0755));
	TELL(rmdir("/app/empty"));
	TELL(unlink("/app/hello"));
	TELL(rename("/app/hello", "/app/hi"));
	TELL(rename("/app/hello", "/out/hi"));
	TELL(rename("/out/ours", "/app/hi"));
	TELL(link("/app/hello", "/app/hi"));
	TELL(link("/app/hello", "/out/hi"));
	TELL(symlink("hello", "/app/hi"));
	TELL(utimensat(AT_FDCWD, "/app/hello", NULL, 0));
	TELL(stat("/out/ours", &at));
}

static void read_link(const char *path, size_t room)
{
	char text[32] = { 0 };
	ssize_t len = readlink(path, text, room);

	printf("%s: %zd \"%s\" %s\n", path, len, text,
	       len < 0 ? tell_name(errno) : "");
}

static void wait_for(void)
{
	int file = open("/app/hello", O_RDONLY);
	int ours = open("/out/ours", O_RDONLY);
	struct pollfd polls[] = {
		{ .fd = ours, .events = POLLIN },
		{ .fd = file, .events = POLLIN },
		{ .fd = 4096 + 500, .events = POLLIN },
		{ .fd = file, .events = POLLIN },
	};
	int ready = poll(polls, 4, 1000);

	printf("%d ready: %x %x %x %x\n", ready, polls[0].revents,
	       polls[1].revents, polls[2].revents, polls[3].revents);
	close(file);
	close(ours);
}

static void wait_raw(void)
{
	__wasi_subscription_t subs[3];
	__wasi_event_t events[3];
	__wasi_fd_t file;
	__wasi_size_t count = 0;

	memset(subs, 0, sizeof subs);
	if (__wasi_path_open(4, 1, "hello", 0,
			     __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_SEEK |
				     __WASI_RIGHTS_POLL_FD_READWRITE,
			     0, 0, &file))
		puts("open");
	for (int i = 0; i < 3; i++)
		subs[i].userdata = 7; /* the same in all */
	subs[0].u.tag = __WASI_EVENTTYPE_CLOCK;
	subs[0].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
	subs[0].u.u.clock.timeout = UINT64_MAX / 2;
	subs[1].u.tag = __WASI_EVENTTYPE_FD_READ;
	subs[1].u.u.fd_read.file_descriptor = file;
	subs[2].u.tag = __WASI_EVENTTYPE_FD_WRITE;
	subs[2].u.u.fd_write.file_descriptor = file;
	TELL_WASI(__wasi_poll_oneoff(subs, events, 3, &count));
	for (unsigned i = 0; i < count; i++)
		printf("type %d, error %s, %d bytes, userdata %d\n",
		       events[i].type, tell_name(events[i].error),
		       (int)events[i].fd_readwrite.nbytes,
		       (int)events[i].userdata);
	printf("%d %d %d\n", subs[0].u.tag, subs[1].u.tag,
	       (int)subs[2].userdata);
}

static void many(void)
{
	int count = 0, last = -1, fd;

	while ((fd = open("/app/hello", O_RDONLY)) >= 0) {
		last = fd;
		count++;
	}
	printf("%d open, then %s\n", count, tell_name(errno));
	while (count-- > 0)
		close(last--);
	printf("%d\n", open("/app/hello", O_RDONLY));
}

int main(void)
{
	__wasi_prestat_t granted;
	char name[8] = { 0 };

	TELL_WASI(__wasi_fd_prestat_get(4, &granted));
	TELL_WASI(__wasi_fd_prestat_dir_name(4, (uint8_t *)name, 3));
	TELL_WASI(__wasi_fd_prestat_dir_name(4, (uint8_t *)name, 4));
	printf("%d %s\n", (int)granted.u.dir.pr_name_len, name);
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		look(paths[i]);
	list("/app");
	list("/app/sub");
	list("/app/empty");
	list_slowly(4);
	read_some();
	read_link("/app/link", 31);
	read_link("/app/link", 3);
	read_link("/app/folder/", 31);
	read_link("/app/hello", 31);
	change();
	wait_for();
	wait_raw();
	many();
	TELL_WASI(__wasi_fd_close(4));
	TELL(open("/app/hello", O_RDONLY));
	printf("%d\n", open("/out/ours", O_RDONLY));
	return 0;
}
