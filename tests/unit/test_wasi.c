/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of WASI on files: hostile numbers, paths in both ways of keeping them
 * below their folder, races, rights, entries, numbers. */
#include "lib/guest.h"
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- the list of functions -------------------------------------------------- */

TEST(each_function_has_its_name_and_signature)
{
	for (int i = 0; i < WASI_FUNCTIONS; i++) {
		const char *signature = wasi_function_signature(i);

		CHECK(strspn(signature, "il>") == strlen(signature));
		CHECK(strchr(signature, '>') != NULL);
		CHECK(strlen(signature) <= 11);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(wasi_function_name(i),
				     wasi_function_name(j)) != 0);
	}
	CHECK_INT(WASI_FUNCTIONS, 46);
	CHECK_TEXT(wasi_function_name(WASI_NUMBER_sock_accept), "sock_accept");
	CHECK(wasi_function_name(WASI_FUNCTIONS) == NULL);
	CHECK(wasi_function_signature(~0u) == NULL);
}

TEST(a_caller_without_memory_traps)
{
	struct guest guest;
	struct wasm_host_function host = { 0 };
	union wasm_value slots[16] = { 0 };

	guest_begin(&guest, false);
	guest.module.memory_count = 0;
	CHECK_INT(CALL1(&guest, "fd_close", 3), TRAP + WASM_TRAP_host);
	CHECK_TEXT(guest.store.message, "fd_close: the caller has no memory");
	host.env = &guest.wasi->bindings[0][function_of("sched_yield")];
	CHECK_INT(wasi_enter(&guest.store, &host.function, NULL, slots),
		  WASM_TRAP_host);
	guest_end(&guest);
}

TEST(errors_of_the_host_have_numbers)
{
	CHECK_INT(wasi_errno(0), 0);
	CHECK_INT(wasi_errno(ENOENT), WASI_ENOENT);
	CHECK_INT(wasi_errno(EXDEV), WASI_EXDEV);
	CHECK_INT(wasi_errno(EOPNOTSUPP), WASI_ENOTSUP);
	CHECK_INT(wasi_errno(100000), WASI_EIO);
	CHECK_INT(wasi_errno(-1), WASI_EIO);
	for (int code = 1; code < 134; code++)
		CHECK(wasi_errno(code) > 0 && wasi_errno(code) < 76);
}

/* ---- hostile numbers -------------------------------------------------------- */

TEST(addresses_and_lengths_are_checked)
{
	struct guest guest;
	uint32_t end = MEMORY_BYTES;
	int fd, code;

	guest_begin(&guest, false);
	fd = open_at(&guest, 3, "file", WASI_CREAT, WASI_RIGHTS_ALL, &code);
	CHECK_INT(code, 0);
	CHECK_INT(CALL2(&guest, "args_sizes_get", end - 3, 0), WASI_EFAULT);
	CHECK_INT(CALL2(&guest, "args_sizes_get", end - 4, end - 4), 0);
	CHECK_INT(CALL2(&guest, "random_get", end, 0), 0);
	CHECK_INT(CALL2(&guest, "random_get", end, 1), WASI_EFAULT);
	CHECK_INT(CALL2(&guest, "random_get", 1, 0xffffffff), WASI_EFAULT);
	CHECK_INT(CALL2(&guest, "random_get", 0xffffffff, 0xffffffff),
		  WASI_EFAULT);
	/* an array whose end wraps around 32 bits, and 64 */
	CHECK_INT(CALL4(&guest, "fd_write", fd, 8, 0x20000000, AT_RESULT),
		  WASI_EFAULT);
	CHECK_INT(CALL4(&guest, "fd_write", fd, 0, 0xffffffff, AT_RESULT),
		  WASI_EFAULT);
	vector(&guest, 0xfffffff0, 0x20);
	CHECK_INT(CALL4(&guest, "fd_write", fd, AT_VECTORS, 1, AT_RESULT),
		  WASI_EFAULT);
	vector(&guest, end - 1, 2);
	CHECK_INT(CALL4(&guest, "fd_read", fd, AT_VECTORS, 1, AT_RESULT),
		  WASI_EFAULT);
	/* nothing is written when its size has no place */
	vector(&guest, AT_BYTES, 100);
	CHECK_INT(CALL4(&guest, "fd_write", fd, AT_VECTORS, 1, end - 2),
		  WASI_EFAULT);
	CHECK_INT(CALL2(&guest, "fd_filestat_get", fd, AT_BYTES), 0);
	CHECK_INT(get_u64(&guest, AT_BYTES + 32), 0);
	CHECK_INT(CALL2(&guest, "fd_filestat_get", fd, end - 63), WASI_EFAULT);
	CHECK_INT(CALL4(&guest, "poll_oneoff", end - 47, 0, 1, AT_RESULT),
		  WASI_EFAULT);
	CHECK_INT(CALL4(&guest, "poll_oneoff", 0, 0, 0x10000000, AT_RESULT),
		  WASI_EINVAL);
	CHECK_INT(call(&guest, "path_open", U(3), U(0), U(0xfffffff0), U(0x20),
		       U(0), U(0), U(0), U(0), U(AT_RESULT)),
		  WASI_EFAULT);
	CHECK_INT(call(&guest, "path_open", U(3), U(0), U(0), U(5000), U(0),
		       U(0), U(0), U(0), U(AT_RESULT)),
		  WASI_ENAMETOOLONG);
	CHECK_INT(call(&guest, "path_open", U(3), U(0), U(AT_PATH),
		       say(&guest, "file"), U(0), U(0), U(0), U(0), U(end - 1)),
		  WASI_EFAULT);
	CHECK_INT(CALL5(&guest, "fd_readdir", 3, 0, 0xffffffff, 0, AT_RESULT),
		  WASI_EFAULT);
	CHECK_INT(CALL4(&guest, "fd_seek", fd, 0, 3, AT_RESULT), WASI_EINVAL);
	CHECK_INT(CALL5(&guest, "fd_pread", fd, AT_VECTORS, 1, 1ull << 63,
			AT_RESULT),
		  WASI_EINVAL);
	CHECK_INT(CALL2(&guest, "fd_filestat_set_size", fd, ~0ull),
		  WASI_EINVAL);
	CHECK_INT(CALL1(&guest, "fd_close", 0xffffffff), WASI_EBADF);
	CHECK_INT(CALL1(&guest, "fd_close", 0x80000000), WASI_EBADF);
	guest_end(&guest);
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t odd_number(uint64_t *state)
{
	static const uint64_t odd[] = {
		0,
		1,
		2,
		3,
		4,
		5,
		8,
		64,
		4095,
		AT_PATH,
		AT_VECTORS,
		AT_RESULT,
		AT_BYTES,
		MEMORY_BYTES - 64,
		MEMORY_BYTES - 4,
		MEMORY_BYTES - 1,
		MEMORY_BYTES,
		0x7fffffff,
		0x80000000,
		0xfffffff8,
		0xffffffff,
		0x100000000,
		1ull << 62,
		1ull << 63,
		~0ull,
	};

	return odd[next(state) % (sizeof odd / sizeof *odd)];
}

/* Every function with numbers that stand for addresses, lengths, descriptors
 * and flags.  What must not happen is seen by the sanitizers, or ends us. */
TEST(no_numbers_do_harm)
{
	struct rlimit files = { 1 << 20, RLIM_INFINITY }, before;
	struct guest guest;
	uint64_t state = 88172645463325252ull;
	int fds = open_fds();

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	files.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_FSIZE, &files);
	guest_begin(&guest, false);
	for (int i = 0; i < 30000; i++) {
		int function = next(&state) % WASI_FUNCTIONS;
		union wasm_value slots[16] = { 0 };
		int answer;

		if (i % 64 == 0)
			say(&guest, i % 128 ? "name" : "name/../x/../../y");
		for (int j = 0; j < 12; j++)
			slots[j].i64 = odd_number(&state);
		guest.unstable = next(&state) % 4 == 0;
		timeout(&guest, 2);
		answer = call_slots(&guest, function, slots);
		if (answer < TRAP)
			CHECK(answer <= WASI_ENOTCAPABLE);
		else
			CHECK(answer == TRAP + WASM_TRAP_deadline ||
			      answer == TRAP + WASM_TRAP_exit);
	}
	guest_end(&guest);
	setrlimit(RLIMIT_FSIZE, &before);
	CHECK_INT(open_fds(), fds);
}

/* ---- vectors ------------------------------------------------------------------ */

TEST(many_vectors_are_a_short_count)
{
	struct guest guest;
	int fd, code;

	guest_begin(&guest, false);
	fd = open_at(&guest, 3, "file", WASI_CREAT, WASI_RIGHTS_ALL, &code);
	for (uint32_t i = 0; i < 2000; i++) {
		put_u32(&guest, AT_BYTES + 8 * i, i);
		put_u32(&guest, AT_BYTES + 8 * i + 4, 1);
	}
	CHECK_INT(CALL4(&guest, "fd_write", fd, AT_BYTES, 2000, AT_RESULT), 0);
	CHECK_INT(get_u32(&guest, AT_RESULT), WASI_VECTORS_MOST);
	CHECK_INT(CALL4(&guest, "fd_write", fd, AT_BYTES, 0, AT_RESULT), 0);
	CHECK_INT(get_u32(&guest, AT_RESULT), 0);
	guest_end(&guest);
}

TEST(all_that_a_memory_holds_many_times_is_no_overflow)
{
	struct guest guest;
	struct wasi_options options = { .stdio = { -1, -1, -1 } };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	options.stdio[1] = null;
	guest_begin_with(&guest, &options);
	for (uint32_t i = 0; i < 1024; i++) {
		put_u32(&guest, AT_BYTES + 8 * i, 0);
		put_u32(&guest, AT_BYTES + 8 * i + 4, MEMORY_BYTES);
	}
	CHECK_INT(CALL4(&guest, "fd_write", 1, AT_BYTES, 1024, AT_RESULT), 0);
	CHECK_INT(get_u32(&guest, AT_RESULT), 1024 * MEMORY_BYTES);
	close(null);
	guest_end(&guest);
}

/* ---- paths below a folder ------------------------------------------------- */

struct way {
	const char *path;
	int open, look; /* path_open, path_filestat_get without following */
};
static const struct way ways[] = {
	{ "file", 0, 0 },
	{ "./file", 0, 0 },
	{ "a//b/./../../file", 0, 0 },
	{ "file/", WASI_ENOTDIR, WASI_ENOTDIR },
	{ "file/..", WASI_ENOTDIR, WASI_ENOTDIR },
	{ "file/x", WASI_ENOTDIR, WASI_ENOTDIR },
	{ "none", WASI_ENOENT, WASI_ENOENT },
	{ "none/..", WASI_ENOENT, WASI_ENOENT },
	{ "", WASI_ENOENT, WASI_ENOENT },
	{ ".", 0, 0 },
	{ "a/..", 0, 0 },
	{ "a/b/../..", 0, 0 },
	{ "..", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "../", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "../in/file", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "../secret", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "a/../../secret", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "a/b/../../../secret", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "/etc/passwd", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "/", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "//file", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "to-file", 0, 0 },
	{ "to-file/", WASI_ENOTDIR, WASI_ENOTDIR },
	{ "to-a", 0, 0 },
	{ "to-a/", 0, 0 },
	{ "to-a/back", 0, 0 },
	{ "to-a/b/../../file", 0, 0 },
	{ "absolute", WASI_ENOTCAPABLE, 0 },
	{ "up", WASI_ENOTCAPABLE, 0 },
	{ "up/secret", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
	{ "a/b/high", WASI_ENOTCAPABLE, 0 },
	{ "chain", 0, 0 },
	{ "dangling", WASI_ENOENT, 0 },
	{ "loop", WASI_ELOOP, 0 },
	{ "loop/x", WASI_ELOOP, WASI_ELOOP },
	{ "x/../loop", WASI_ENOENT, WASI_ENOENT },
};

static void make_ways(struct guest *guest)
{
	guest_make(guest, "file", "ours");
	guest_folder(guest, "a");
	guest_folder(guest, "a/b");
	guest_link(guest, "file", "to-file");
	guest_link(guest, "a/./", "to-a");
	guest_link(guest, "../to-a/../file", "a/back");
	guest_link(guest, "/etc/passwd", "absolute");
	guest_link(guest, "..", "up");
	guest_link(guest, "../../../secret", "a/b/high");
	guest_link(guest, "a/back", "chain");
	guest_link(guest, "nothing", "dangling");
	guest_link(guest, "loop", "loop");
}

static void try_ways(struct guest *guest)
{
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		const struct way *way = &ways[i];
		uint64_t len;
		int code, fd;

		fd = open_at(guest, 3, way->path, 0, WASI_RIGHT_FD_READ, &code);
		if (code != way->open)
			printf("# \"%s\":\n", way->path);
		CHECK_INT(code, way->open);
		if (fd >= 0)
			CALL1(guest, "fd_close", fd);
		len = say(guest, way->path);
		code = CALL5(guest, "path_filestat_get", 3, 0, AT_PATH, len,
			     AT_BYTES);
		if (code != way->look)
			printf("# \"%s\":\n", way->path);
		CHECK_INT(code, way->look);
	}
}

static void both_ways(void (*try)(struct guest *guest))
{
	struct guest guest;
	int fds = open_fds();

	for (int kernel = 0; kernel < 2; kernel++) {
		guest_begin(&guest, false);
		if (!kernel)
			guest.wasi->has_openat2 = false;
		else if (!guest.wasi->has_openat2)
			printf("# no openat2 here\n");
		make_ways(&guest);
		try(&guest);
		guest_end(&guest);
	}
	CHECK_INT(open_fds(), fds);
}

TEST(paths_stay_below_their_folder)
{
	both_ways(try_ways);
}

static void try_deep(struct guest *guest)
{
	char path[4096] = "";
	int code;

	strcpy(path, "a");
	for (int i = 0; i < 500; i++)
		strcat(path, "/../a");
	open_at(guest, 3, strcat(path, "/../file"), 0, 2, &code);
	CHECK_INT(code, 0);
	memset(path, 'x', 255);
	strcpy(path + 255, "/y");
	open_at(guest, 3, path, 0, 2, &code);
	CHECK_INT(code, WASI_ENOENT);
	strcpy(path + 255, "xy");
	open_at(guest, 3, path, 0, 2, &code);
	CHECK_INT(code, WASI_ENAMETOOLONG);
	/* forty links are followed, a longer chain is not */
	guest_link(guest, "file", "l0");
	for (int i = 1; i < 60; i++) {
		char from[16], to[16];

		snprintf(from, sizeof from, "l%d", i - 1);
		snprintf(to, sizeof to, "l%d", i);
		guest_link(guest, from, to);
	}
	open_at(guest, 3, "l39", 0, 2, &code);
	CHECK_INT(code, 0);
	open_at(guest, 3, "l45", 0, 2, &code);
	CHECK_INT(code, WASI_ELOOP);
}

TEST(long_paths_and_chains_of_links)
{
	both_ways(try_deep);
}

static void try_create(struct guest *guest)
{
	int code;

	open_at(guest, 3, "a/new", WASI_CREAT | WASI_EXCL, 0, &code);
	CHECK_INT(code, 0);
	open_at(guest, 3, "a/new", WASI_CREAT | WASI_EXCL, 0, &code);
	CHECK_INT(code, WASI_EEXIST);
	open_at(guest, 3, "dangling", WASI_CREAT | WASI_EXCL, 0, &code);
	CHECK_INT(code, WASI_EEXIST);
	open_at(guest, 3, "dangling", WASI_CREAT, 0, &code);
	CHECK_INT(code, 0);
	open_at(guest, 3, "nothing", 0, 0, &code);
	CHECK_INT(code, 0);
	open_at(guest, 3, "a/b/high", WASI_CREAT, 0, &code);
	CHECK_INT(code, WASI_ENOTCAPABLE);
	open_at(guest, 3, "up/new", WASI_CREAT, 0, &code);
	CHECK_INT(code, WASI_ENOTCAPABLE);
	open_at(guest, 3, "a", WASI_CREAT, 0, &code);
	CHECK_INT(code, WASI_EISDIR);
	open_at(guest, 3, "a/..", WASI_CREAT, 0, &code);
	CHECK_INT(code, WASI_EISDIR);
	open_at(guest, 3, "a/..", WASI_CREAT | WASI_EXCL, 0, &code);
	CHECK_INT(code, WASI_EEXIST);
	open_at(guest, 3, "file", WASI_OPEN_DIRECTORY, 0, &code);
	CHECK_INT(code, WASI_ENOTDIR);
	open_at(guest, 3, "a", WASI_OPEN_DIRECTORY | WASI_CREAT, 0, &code);
	CHECK_INT(code, WASI_EINVAL);
	open_at(guest, 3, "file", 1 << 9, 0, &code);
	CHECK_INT(code, WASI_EINVAL);
	open_at(guest, 77, "file", 0, 0, &code);
	CHECK_INT(code, WASI_EBADF);
	open_at(guest, 0, "x", 0, 0, &code); /* a file's number by now */
	CHECK_INT(code, WASI_ENOTDIR);
}

TEST(files_are_made_below_their_folder)
{
	both_ways(try_create);
}

/* A name that ends in ".." acts on nothing, in or out. */
static void try_names(struct guest *guest)
{
	static const struct {
		const char *path;
		int make, unlink, remove, link;
	} names[] = {
		{ "..", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE, WASI_ENOTCAPABLE,
		  WASI_ENOTCAPABLE },
		{ "a/..", WASI_EEXIST, WASI_EISDIR, WASI_ENOTEMPTY,
		  WASI_EEXIST },
		{ "a/../..", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE,
		  WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
		{ ".", WASI_EEXIST, WASI_EISDIR, WASI_EINVAL, WASI_EEXIST },
		{ "", WASI_ENOENT, WASI_ENOENT, WASI_ENOENT, WASI_ENOENT },
		{ "/x", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE, WASI_ENOTCAPABLE,
		  WASI_ENOTCAPABLE },
		{ "up/secret", WASI_ENOTCAPABLE, WASI_ENOTCAPABLE,
		  WASI_ENOTCAPABLE, WASI_ENOTCAPABLE },
		{ "up/", WASI_EEXIST, WASI_ENOTDIR, WASI_ENOTDIR, WASI_EEXIST },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		uint64_t len = say(guest, names[i].path);
		uint64_t text = say_at(guest, AT_PATH2, "text");

		printf("# \"%s\"\n", names[i].path);
		CHECK_INT(CALL3(guest, "path_create_directory", 3, AT_PATH,
				len),
			  names[i].make);
		CHECK_INT(CALL3(guest, "path_unlink_file", 3, AT_PATH, len),
			  names[i].unlink);
		CHECK_INT(CALL3(guest, "path_remove_directory", 3, AT_PATH,
				len),
			  names[i].remove);
		CHECK_INT(CALL5(guest, "path_symlink", AT_PATH2, text, 3,
				AT_PATH, len),
			  names[i].link);
	}
	CHECK_INT(CALL5(guest, "path_symlink", AT_PATH, say(guest, "/abs"), 3,
			AT_PATH2, say_at(guest, AT_PATH2, "new")),
		  WASI_ENOTCAPABLE);
	CHECK_INT(call(guest, "path_link", U(3), U(1), U(AT_PATH),
		       say(guest, "a/b/high"), U(3), U(AT_PATH2),
		       say_at(guest, AT_PATH2, "new")),
		  WASI_ENOTCAPABLE);
	CHECK_INT(call(guest, "path_link", U(3), U(1), U(AT_PATH),
		       say(guest, "chain"), U(3), U(AT_PATH2),
		       say_at(guest, AT_PATH2, "new")),
		  0);
	CHECK_INT(CALL5(guest, "path_filestat_get", 3, 0, AT_PATH2,
			say_at(guest, AT_PATH2, "new"), AT_BYTES),
		  0);
	CHECK_INT(guest->bytes[AT_BYTES + 16], WASI_REGULAR_FILE);
}

TEST(names_that_lead_up_act_on_nothing)
{
	both_ways(try_names);
}

/* ---- races ------------------------------------------------------------------ */

struct swap {
	char a[128], b[128];
	volatile int stop;
	unsigned turns;
};

static void *swapping(void *env)
{
	struct swap *swap = env;

	while (!swap->stop) {
		renameat2(AT_FDCWD, swap->a, AT_FDCWD, swap->b,
			  RENAME_EXCHANGE);
		swap->turns++;
	}
	return NULL;
}

static void race_once(struct guest *guest, unsigned *ours, unsigned *refused)
{
	char text[16] = { 0 };
	int code, fd;

	fd = open_at(guest, 3, "x/secret", 0, WASI_RIGHT_FD_READ, &code);
	if (fd < 0) {
		CHECK(code == WASI_ENOTCAPABLE || code == WASI_ENOENT ||
		      code == WASI_ELOOP || code == WASI_EAGAIN ||
		      code == WASI_ENOTDIR);
		++*refused;
		return;
	}
	CHECK_INT(read_some(guest, fd, text, 15), 5);
	CHECK_TEXT(text, "inner");
	CALL1(guest, "fd_close", fd);
	++*ours;
}

static void try_race(struct guest *guest)
{
	struct swap swap = { 0 };
	unsigned ours = 0, refused = 0;
	uint64_t end = clock_ns() + 300000000, last = end + 20000000000;
	pthread_t thread;

	snprintf(swap.a, sizeof swap.a, "%s/in/x", guest->folder);
	snprintf(swap.b, sizeof swap.b, "%s/in/y", guest->folder);
	guest_folder(guest, "x");
	guest_make(guest, "x/secret", "inner");
	guest_link(guest, "..", "y");
	pthread_create(&thread, NULL, swapping, &swap);
	while (clock_ns() < end || ((!ours || !refused) && clock_ns() < last))
		race_once(guest, &ours, &refused);
	swap.stop = 1;
	pthread_join(thread, NULL);
	CHECK(ours > 0);
	CHECK(refused > 0);
	printf("# %u opened, %u refused, %u swaps\n", ours, refused,
	       swap.turns);
}

TEST(a_folder_that_becomes_a_link_leads_nowhere)
{
	both_ways(try_race);
}

/* A folder that is moved out while we are in it: ".." must not lead to where
 * it is now. */
static void try_move(struct guest *guest)
{
	struct swap swap = { 0 };
	uint64_t end = clock_ns() + 300000000;
	unsigned opened = 0;
	pthread_t thread;
	char text[16];
	int code, fd;

	snprintf(swap.a, sizeof swap.a, "%s/in/a/b", guest->folder);
	snprintf(swap.b, sizeof swap.b, "%s/moved", guest->folder);
	mkdir(swap.b, 0755);
	pthread_create(&thread, NULL, swapping, &swap);
	while (clock_ns() < end) {
		fd = open_at(guest, 3, "a/b/../secret", 0, 2, &code);
		if (fd < 0)
			continue;
		opened++;
		read_some(guest, fd, text, 15);
		CALL1(guest, "fd_close", fd);
	}
	swap.stop = 1;
	pthread_join(thread, NULL);
	CHECK_INT(opened, 0);
}

TEST(a_folder_that_is_moved_out_leads_nowhere)
{
	both_ways(try_move);
}

/* ---- rights -------------------------------------------------------------------- */

TEST(a_folder_to_read_cannot_be_changed)
{
	struct guest guest;
	char text[8] = { 0 };
	int code, fd;

	guest_begin(&guest, true);
	guest_make(&guest, "file", "text");
	fd = open_at(&guest, 3, "file", 0, WASI_RIGHT_FD_READ, &code);
	CHECK_INT(read_some(&guest, fd, text, 8), 4);
	CHECK_TEXT(text, "text");
	/* all that one might want, but for writing, is no error */
	fd = open_at(&guest, 3, "file", 0,
		     WASI_RIGHTS_ALL & ~(uint64_t)WASI_RIGHT_FD_WRITE, &code);
	CHECK_INT(code, 0);
	CHECK_INT(write_some(&guest, fd, 1), -WASI_ENOTCAPABLE);
	CHECK_INT(CALL2(&guest, "fd_filestat_set_size", fd, 0),
		  WASI_ENOTCAPABLE);
	CHECK_INT(CALL4(&guest, "fd_filestat_set_times", fd, 0, 0, 8),
		  WASI_ENOTCAPABLE);
	open_at(&guest, 3, "file", 0, WASI_RIGHT_FD_WRITE, &code);
	CHECK_INT(code, WASI_ENOTCAPABLE);
	open_at(&guest, 3, "file", WASI_TRUNC, 0, &code);
	CHECK_INT(code, WASI_ENOTCAPABLE);
	open_at(&guest, 3, "new", WASI_CREAT, 0, &code);
	CHECK_INT(code, WASI_ENOTCAPABLE);
	CHECK_INT(CALL3(&guest, "path_create_directory", 3, AT_PATH,
			say(&guest, "new")),
		  WASI_ENOTCAPABLE);
	CHECK_INT(CALL3(&guest, "path_unlink_file", 3, AT_PATH,
			say(&guest, "file")),
		  WASI_ENOTCAPABLE);
	CHECK_INT(CALL6(&guest, "path_rename", 3, AT_PATH, 4, 3, AT_PATH, 4),
		  WASI_ENOTCAPABLE);
	CHECK_INT(call(&guest, "path_link", U(3), U(0), U(AT_PATH), U(4), U(3),
		       U(AT_PATH), U(4)),
		  WASI_ENOTCAPABLE);
	/* a folder within is no way around it */
	guest_folder(&guest, "sub");
	guest_make(&guest, "sub/inner", "x");
	fd = open_at(&guest, 3, "sub", WASI_OPEN_DIRECTORY,
		     WASI_RIGHTS_ALL & ~(uint64_t)WASI_RIGHT_FD_WRITE, &code);
	CHECK_INT(code, 0);
	open_at(&guest, fd, "inner", 0, WASI_RIGHT_FD_WRITE, &code);
	CHECK_INT(code, WASI_ENOTCAPABLE);
	CHECK_INT(CALL3(&guest, "path_unlink_file", fd, AT_PATH,
			say(&guest, "inner")),
		  WASI_ENOTCAPABLE);
	guest_end(&guest);
}

TEST(nothing_is_granted_by_default)
{
	struct guest guest;
	struct wasi_options options = { .stdio = { -1, -1, -1 } };

	guest_begin_with(&guest, &options);
	for (int fd = 0; fd < 20; fd++)
		CHECK_INT(CALL2(&guest, "fd_fdstat_get", fd, AT_BYTES),
			  WASI_EBADF);
	CHECK_INT(CALL2(&guest, "environ_sizes_get", 0, 4), 0);
	CHECK_INT(get_u64(&guest, 0), 0);
	guest_end(&guest);
}

TEST(what_cannot_be_granted_is_told)
{
	struct wasi_folder folder = { "/none/such", "/", false };
	struct wasi_options options = { .folders = &folder,
					.folder_count = 1,
					.stdio = { -1, -1, -1 } };
	struct wasi *wasi;
	struct err err = { 0 };
	int fds = open_fds();

	CHECK(wasi_open(&wasi, &options, &err) < 0);
	CHECK(wasi == NULL);
	CHECK_TEXT(err.text, "open folder /none/such: "
			     "No such file or directory");
	options.folder_count = 0;
	options.stdio[1] = 999;
	CHECK(wasi_open(&wasi, &options, &err) < 0);
	CHECK_INT(open_fds(), fds);
}

/* ---- folders ---------------------------------------------------------------- */

TEST(entries_are_cut_where_the_buffer_ends)
{
	struct guest guest;
	uint64_t cookie;
	uint32_t used;

	guest_begin(&guest, false);
	guest_make(&guest, "a-name-of-some-length", "");
	for (uint32_t room = 0; room < 24; room++) {
		memset(guest.bytes + AT_BYTES, 0xaa, 64);
		CHECK_INT(CALL5(&guest, "fd_readdir", 3, AT_BYTES, room, 0,
				AT_RESULT),
			  0);
		CHECK_INT(get_u32(&guest, AT_RESULT), room);
		CHECK_INT(guest.bytes[AT_BYTES + room], 0xaa);
	}
	CHECK_INT(CALL5(&guest, "fd_readdir", 3, AT_BYTES, 1000, 0, AT_RESULT),
		  0);
	used = get_u32(&guest, AT_RESULT);
	CHECK_INT(used, 3 * 24 + 1 + 2 + 21);
	/* from the first one's cookie on: the rest */
	cookie = get_u64(&guest, AT_BYTES);
	CHECK_INT(CALL5(&guest, "fd_readdir", 3, AT_BYTES, 1000, cookie,
			AT_RESULT),
		  0);
	CHECK(get_u32(&guest, AT_RESULT) < used);
	/* any cookie is an answer or an error */
	for (int i = 0; i < 64; i++)
		CHECK(CALL5(&guest, "fd_readdir", 3, AT_BYTES, 1000, 1ull << i,
			    AT_RESULT) <= WASI_ENOTCAPABLE);
	guest_end(&guest);
}

/* ---- the rest ----------------------------------------------------------------- */

TEST(an_end_has_its_status)
{
	struct guest guest;

	guest_begin(&guest, false);
	CHECK_INT(CALL1(&guest, "proc_exit", 42), TRAP + WASM_TRAP_exit);
	CHECK_INT(guest.store.exit_code, 42);
	CHECK_INT(CALL1(&guest, "proc_raise", 0), 0);
	CHECK_INT(CALL1(&guest, "proc_raise", 19), WASI_ENOTSUP);
	CHECK_INT(CALL1(&guest, "proc_raise", 31), WASI_EINVAL);
	CHECK_INT(CALL1(&guest, "proc_raise", 6), TRAP + WASM_TRAP_exit);
	CHECK_INT(guest.store.exit_code, 134);
	guest_end(&guest);
}

TEST(numbers_end_and_none_is_lost)
{
	struct guest guest;
	int code = 0, count = 0, fds = open_fds();

	guest_begin(&guest, false);
	guest_make(&guest, "file", "");
	while (!code && count++ < 100000)
		open_at(&guest, 3, "file", 0, 0, &code);
	CHECK_INT(code, WASI_EMFILE);
	CHECK(count < 10000);
	guest_end(&guest);
	CHECK_INT(open_fds(), fds);
}

TEST(all_is_closed_on_exec)
{
	struct streams streams;
	struct guest guest;
	int code, fd;

	streams_begin(&streams);
	for (int i = 0; i < 2; i++)
		CHECK(fcntl(streams.guest.wasi->fds[i].host, F_GETFD) &
		      FD_CLOEXEC);
	streams_end(&streams);
	guest_begin(&guest, false);
	guest_make(&guest, "file", "");
	for (int kernel = 0; kernel < 2; kernel++) {
		guest.wasi->has_openat2 = kernel;
		fd = open_at(&guest, 3, "file", 0, 0, &code);
		CHECK(fcntl(guest.wasi->fds[fd].host, F_GETFD) & FD_CLOEXEC);
	}
	CHECK(fcntl(guest.wasi->fds[3].host, F_GETFD) & FD_CLOEXEC);
	guest_end(&guest);
}

TEST_MAIN
