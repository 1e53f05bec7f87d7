/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's descriptors, kept and made again: where they stood, with the
 * numbers and rights that they had; and what cannot be kept, what has changed
 * since, and bytes that are none. */
#include "base/fd.h"
#include "lib/guest_state.h"
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define RIGHTS_READ                                                     \
	(WASI_RIGHT_FD_READ | WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_TELL | \
	 WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_FD_READDIR |           \
	 WASI_RIGHT_PATH_OPEN | WASI_RIGHT_FD_FDSTAT_SET_FLAGS)

static struct err last;

static int save(const struct guest *guest, struct buf *state)
{
	buf_clear(state);
	last = (struct err){ 0 };
	return wasi_state_save(guest->wasi, state, &last);
}

static int restore(struct guest *guest, const struct buf *state)
{
	last = (struct err){ 0 };
	return wasi_state_restore(guest->wasi, state->data, state->len, &last);
}

static void check_said(const char *end)
{
	size_t len = strlen(last.text), end_len = strlen(end);

	CHECK(len >= end_len);
	CHECK_TEXT(last.text + (len >= end_len ? len - end_len : 0), end);
}

/* Saves, and gives it to a new guest of the same kind. */
static void check_goes_on(struct guest *guest, const struct granted *granted)
{
	auto_buf struct buf state = { 0 };

	CHECK_INT(save(guest, &state), 0);
	if (last.code)
		printf("# %s\n", last.text);
	guest_again(guest, granted);
	CHECK_INT(restore(guest, &state), 0);
	if (last.code)
		printf("# %s\n", last.text);
}

static void check_read(struct guest *guest, int fd, const char *text)
{
	char bytes[64] = { 0 };

	CHECK_INT(read_some(guest, fd, bytes, strlen(text)), (int)strlen(text));
	CHECK_TEXT(bytes, text);
}

static int open_reading(struct guest *guest, const char *path)
{
	int code, fd = open_at(guest, 3, path, 0, RIGHTS_READ, &code);

	CHECK_INT(code, 0);
	return fd;
}

static void change(struct guest *guest, const char *name, const char *how)
{
	char command[256];

	snprintf(command, sizeof command, "cd %s/in && %s %s", guest->folder,
		 how, name);
	CHECK_INT(system(command), 0);
}

/* ---- what goes on ----------------------------------------------------------- */

TEST(a_file_goes_on_where_it_stood)
{
	struct granted granted = granted_as_usual();
	struct guest guest;
	uint8_t before[24];
	int fds = open_fds(), a, b;

	guest_begin(&guest, false);
	guest_folder(&guest, "lib");
	guest_make(&guest, "lib/x.rb", "one two three");
	a = open_reading(&guest, "lib/x.rb");
	b = open_reading(&guest, "lib/x.rb");
	CHECK_INT(CALL2(&guest, "fd_renumber", b, a), 0);
	b = open_reading(&guest, "lib/../lib/x.rb");
	CHECK_INT(CALL1(&guest, "fd_close", b), 0);
	check_read(&guest, a, "one ");
	CHECK_INT(CALL2(&guest, "fd_fdstat_set_flags", a, WASI_NONBLOCK), 0);
	CHECK_INT(CALL2(&guest, "fd_fdstat_get", a, AT_RESULT), 0);
	memcpy(before, guest.bytes + AT_RESULT, sizeof before);
	check_goes_on(&guest, &granted);
	CHECK_INT(CALL2(&guest, "fd_fdstat_get", a, AT_RESULT), 0);
	CHECK(memcmp(before, guest.bytes + AT_RESULT, sizeof before) == 0);
	check_read(&guest, a, "two three");
	CHECK_INT(CALL1(&guest, "fd_close", b), WASI_EBADF);
	CHECK_INT(write_some(&guest, a, 1), -WASI_ENOTCAPABLE);
	CHECK(open_reading(&guest, "lib/x.rb") == b);
	CHECK(fcntl(guest.wasi->fds[a].host, F_GETFD) & FD_CLOEXEC);
	guest_end(&guest);
	CHECK_INT(open_fds(), fds);
}

TEST(a_file_without_openat2_likewise)
{
	struct granted granted = granted_as_usual();
	struct guest guest;
	int a;

	setenv("BROOD_WITHOUT", "openat2", 1);
	guest_begin(&guest, false);
	CHECK(!guest.wasi->has_openat2);
	guest_folder(&guest, "lib");
	guest_make(&guest, "lib/x.rb", "one two three");
	a = open_reading(&guest, "lib/x.rb");
	check_read(&guest, a, "one ");
	check_goes_on(&guest, &granted);
	check_read(&guest, a, "two three");
	guest_end(&guest);
	unsetenv("BROOD_WITHOUT");
}

TEST(a_file_that_got_another_name_beneath_is_found)
{
	struct granted granted = granted_as_usual();
	struct guest guest;
	int a;

	guest_begin(&guest, false);
	guest_make(&guest, "x", "one two");
	guest_folder(&guest, "lib");
	a = open_reading(&guest, "x");
	check_read(&guest, a, "one ");
	change(&guest, "x lib/y", "mv");
	check_goes_on(&guest, &granted);
	check_read(&guest, a, "two");
	guest_end(&guest);
}

enum { ENTRIES = 300 };

/* Reads entries into a few bytes, counts names "e123"; the last cookie. */
static uint64_t read_entries(struct guest *guest, int fd, uint64_t cookie,
			     int most, int seen[ENTRIES])
{
	uint32_t at = AT_BYTES, end;
	char name[16];
	int count = 0;

	if (CALL5(guest, "fd_readdir", fd, AT_BYTES, 4000, cookie, AT_RESULT))
		return 0;
	end = AT_BYTES + get_u32(guest, AT_RESULT);
	for (; at + 24 <= end && count < most; count++) {
		uint32_t len = get_u32(guest, at + 16);

		if (at + 24 + len > end)
			break;
		memcpy(name, guest->bytes + at + 24, len < 15 ? len : 15);
		name[len < 15 ? len : 15] = 0;
		if (name[0] == 'e')
			seen[atoi(name + 1) % ENTRIES]++;
		cookie = get_u64(guest, at);
		at += 24 + len;
	}
	return count ? cookie : 0;
}

TEST(a_folder_is_read_on)
{
	struct granted granted = granted_as_usual();
	struct guest guest;
	int seen[ENTRIES] = { 0 }, fd, code;
	uint64_t cookie = 0;

	guest_begin(&guest, false);
	guest_folder(&guest, "many");
	for (int i = 0; i < ENTRIES; i++) {
		char name[16];

		snprintf(name, sizeof name, "many/e%d", i);
		guest_make(&guest, name, "");
	}
	fd = open_at(&guest, 3, "many", WASI_OPEN_DIRECTORY, RIGHTS_READ,
		     &code);
	for (int i = 0; i < 4; i++)
		cookie = read_entries(&guest, fd, cookie, 20, seen);
	check_goes_on(&guest, &granted);
	while (cookie)
		cookie = read_entries(&guest, fd, cookie, 20, seen);
	for (int i = 0; i < ENTRIES; i++)
		CHECK_INT(seen[i], 1);
	CHECK(open_at(&guest, fd, "e5", 0, RIGHTS_READ, &code) > 0);
	guest_end(&guest);
}

/* Only a position in it has to be good still. */
TEST(a_folder_that_was_not_read_may_get_entries)
{
	struct granted granted = granted_as_usual();
	auto_buf struct buf state = { 0 };
	struct guest guest;
	int seen[ENTRIES], fd, code;

	guest_begin(&guest, false);
	guest_folder(&guest, "a");
	guest_make(&guest, "a/e1", "");
	fd = open_at(&guest, 3, "a", WASI_OPEN_DIRECTORY, RIGHTS_READ, &code);
	CHECK(open_at(&guest, 3, ".", WASI_OPEN_DIRECTORY, RIGHTS_READ, &code) >
	      0);
	CHECK_INT(save(&guest, &state), 0);
	usleep(20000);
	guest_make(&guest, "a/e2", "");
	guest_again(&guest, &granted);
	CHECK_INT(restore(&guest, &state), 0);
	CHECK(read_entries(&guest, fd, 0, 9, seen) != 0);
	CHECK_INT(save(&guest, &state), 0);
	usleep(20000);
	guest_make(&guest, "a/e3", "");
	guest_again(&guest, &granted);
	CHECK_INT(restore(&guest, &state), -EINVAL);
	check_said("a has changed since the warm state was made: make it "
		   "again");
	guest_end(&guest);
}

/* ---- standard streams ------------------------------------------------------- */

TEST(streams_are_the_new_ones)
{
	struct granted granted = granted_as_usual();
	struct guest guest;
	int pipe[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), fds;

	CHECK_INT(pipe2(pipe, O_CLOEXEC), 0);
	fds = open_fds();
	guest_begin(&guest, false);
	granted.stdio[0] = null;
	granted.stdio[1] = granted.stdio[2] = pipe[1];
	guest_again(&guest, &granted);
	/* 0 is closed, 1 moves to 9 by way of 4, 2 changes its flags. */
	CHECK_INT(CALL1(&guest, "fd_close", 0), 0);
	CHECK(open_reading(&guest, ".") == 0);
	CHECK(open_reading(&guest, ".") == 4);
	CHECK_INT(CALL2(&guest, "fd_renumber", 1, 4), 0);
	CHECK_INT(CALL2(&guest, "fd_fdstat_set_flags", 2, WASI_NONBLOCK), 0);
	CHECK_INT(CALL3(&guest, "fd_fdstat_set_rights", 2, WASI_RIGHT_FD_WRITE,
			0),
		  0);
	granted.stdio[1] = null;
	check_goes_on(&guest, &granted);
	CHECK_INT(guest.wasi->fds[0].type, WASI_DIRECTORY);
	CHECK_INT(CALL2(&guest, "fd_fdstat_get", 1, AT_RESULT), WASI_EBADF);
	CHECK_INT(guest.wasi->fds[4].type, WASI_CHARACTER_DEVICE);
	CHECK(guest.wasi->fds[4].rights & WASI_RIGHT_FD_WRITE);
	CHECK_INT(guest.wasi->fds[2].flags, WASI_NONBLOCK);
	CHECK(guest.wasi->fds[2].rights == WASI_RIGHT_FD_WRITE);
	CHECK_INT(write_some(&guest, 2, 3), 3);
	/* And once more, from what was restored. */
	check_goes_on(&guest, &granted);
	CHECK_INT(write_some(&guest, 2, 4), 4);
	CHECK_INT(write_some(&guest, 4, 4), 4);
	guest_end(&guest);
	CHECK_INT(open_fds(), fds);
	close(pipe[0]);
	close(pipe[1]);
	close(null);
}

TEST(what_was_closed_stays_closed)
{
	struct granted granted = granted_as_usual();
	struct guest guest;
	int fds = open_fds();

	guest_begin(&guest, false);
	CHECK_INT(CALL1(&guest, "fd_close", 3), 0);
	check_goes_on(&guest, &granted);
	CHECK_INT(CALL1(&guest, "fd_close", 3), WASI_EBADF);
	CHECK_INT(open_fds(), fds);
	guest_end(&guest);
}

/* ---- what cannot be kept ---------------------------------------------------- */

static void check_not_kept(struct guest *guest, const char *why)
{
	auto_buf struct buf state = { 0 };
	char words[200];

	buf_text(&state, "before");
	last = (struct err){ 0 };
	CHECK_INT(wasi_state_save(guest->wasi, &state, &last), -EINVAL);
	CHECK_TEXT(buf_string(&state), "before");
	CHECK(strncmp(last.text, "descriptor 0, ", 14) == 0);
	snprintf(words, sizeof words, " %s: a warm state cannot have it", why);
	check_said(words);
}

TEST(what_cannot_be_kept_is_named)
{
	struct guest guest;
	int code;

	guest_begin(&guest, false);
	CHECK_INT(open_at(&guest, 3, "w", WASI_CREAT, WASI_RIGHTS_ALL, &code),
		  0);
	check_not_kept(&guest, "is open for writing");
	CHECK_INT(CALL1(&guest, "fd_close", 0), 0);
	CHECK_INT(open_reading(&guest, "w"), 0);
	change(&guest, "w", "rm");
	check_not_kept(&guest, "(deleted) is not there any more");
	CHECK_INT(CALL1(&guest, "fd_close", 0), 0);
	guest_make(&guest, "m", "");
	CHECK_INT(open_reading(&guest, "m"), 0);
	change(&guest, "m ../m", "mv");
	check_not_kept(&guest, "is beneath no granted folder");
	CHECK_INT(CALL1(&guest, "fd_close", 0), 0);
	change(&guest, "fifo", "mkfifo");
	CHECK_INT(open_reading(&guest, "fifo"), 0);
	check_not_kept(&guest, "is no file and was not granted");
	CHECK_INT(CALL1(&guest, "fd_close", 0), 0);
	guest_make(&guest, "x", "");
	CHECK_INT(open_reading(&guest, "x"), 0);
	CHECK_INT(CALL1(&guest, "fd_close", 3), 0);
	check_not_kept(&guest, "is beneath no granted folder");
	guest_end(&guest);
}

TEST(a_socket_that_was_accepted_cannot_be_kept)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct wasi_options options = { .stdio = { -1, -1, -1 },
					.sockets = &listener,
					.socket_count = 1 };
	auto_buf struct buf state = { 0 };
	struct guest guest;

	snprintf(name.sun_path, sizeof name.sun_path, "%cwasi-state-%d", 0,
		 getpid());
	CHECK_INT(bind(listener, (void *)&name, sizeof name), 0);
	CHECK_INT(listen(listener, 1), 0);
	CHECK_INT(connect(client, (void *)&name, sizeof name), 0);
	guest_begin_with(&guest, &options);
	CHECK_INT(save(&guest, &state), 0);
	CHECK_INT(CALL3(&guest, "sock_accept", 3, 0, AT_RESULT), 0);
	check_not_kept(&guest, "is no file and was not granted");
	wasi_close(guest.wasi);
	CHECK_INT(wasi_open(&guest.wasi, &options, NULL), 0);
	CHECK_INT(restore(&guest, &state), 0);
	CHECK_INT(CALL1(&guest, "fd_close", 3), 0);
	guest_end(&guest);
	close(listener);
	close(client);
}

/* ---- what has changed since ------------------------------------------------- */

static void check_changed(const char *how, const char *name)
{
	char words[128];
	struct granted granted = granted_as_usual();
	auto_buf struct buf state = { 0 };
	struct guest guest;
	int fds = open_fds();

	guest_begin(&guest, false);
	guest_folder(&guest, "lib");
	guest_make(&guest, "lib/x.rb", "one two");
	CHECK_INT(open_reading(&guest, "lib"), 0);
	CHECK_INT(open_reading(&guest, "lib/x.rb"), 1);
	CHECK_INT(save(&guest, &state), 0);
	change(&guest, name, how);
	snprintf(words, sizeof words,
		 "%s has changed since the warm state was made: make it again",
		 name);
	guest_again(&guest, &granted);
	CHECK_INT(restore(&guest, &state), -EINVAL);
	CHECK_TEXT(last.text, words);
	/* It has what it was granted. */
	CHECK_INT(CALL1(&guest, "fd_close", 0), WASI_EBADF);
	guest_make(&guest, "new", "");
	CHECK_INT(open_reading(&guest, "new"), 0);
	guest_end(&guest);
	CHECK_INT(open_fds(), fds);
}

TEST(another_file_is_refused)
{
	check_changed("echo more >>", "lib/x.rb");
	check_changed("touch", "lib/x.rb");
	check_changed("rm", "lib/x.rb");
	check_changed("cp -p lib/x.rb lib/y; mv lib/y", "lib/x.rb");
	check_changed("rm lib/x.rb; mkdir", "lib/x.rb");
	check_changed("rm lib/x.rb; mkfifo", "lib/x.rb");
	check_changed("mv lib/x.rb x; ln -s ../x", "lib/x.rb");
	check_changed("mv lib/x.rb ../x; ln -s ../../x", "lib/x.rb");
	check_changed("mv lib ..; ln -s ../lib", "lib");
	check_changed("mv lib l; mkdir", "lib");
}

TEST(other_grants_are_refused)
{
	struct granted granted = granted_as_usual(), other;
	auto_buf struct buf state = { 0 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), code;
	struct guest guest;

	guest_begin(&guest, false);
	guest_make(&guest, "x", "one two");
	granted.stdio[1] = null;
	guest_again(&guest, &granted);
	CHECK_INT(open_at(&guest, 3, "x", 0,
			  RIGHTS_READ | WASI_RIGHT_FD_FILESTAT_SET_TIMES,
			  &code),
		  0);
	CHECK_INT(save(&guest, &state), 0);
	other = granted;
	other.name = "/data";
	guest_again(&guest, &other);
	CHECK_INT(restore(&guest, &state), -EINVAL);
	CHECK_TEXT(last.text, "descriptor 3 was the folder / when the warm "
			      "state was made, and is not now");
	other = granted;
	other.stdio[1] = -1;
	guest_again(&guest, &other);
	CHECK_INT(restore(&guest, &state), -EINVAL);
	CHECK_TEXT(last.text, "descriptor 1 was a standard stream when the "
			      "warm state was made, and is not now");
	other = granted;
	other.stdio[2] = null;
	guest_again(&guest, &other);
	CHECK_INT(restore(&guest, &state), -EINVAL);
	CHECK_TEXT(last.text, "2 descriptors were granted when the warm state "
			      "was made, and 3 are now");
	other = granted;
	other.read_only = true;
	guest_again(&guest, &other);
	CHECK_INT(restore(&guest, &state), -EINVAL);
	CHECK_TEXT(last.text, "descriptor 0 had more rights when the warm "
			      "state was made than its folder gives now");
	guest_again(&guest, &granted);
	CHECK_INT(CALL1(&guest, "fd_close", 1), 0);
	CHECK_INT(restore(&guest, &state), -EINVAL);
	CHECK_TEXT(last.text, "a warm state of WASI is for a guest that has "
			      "done nothing yet");
	guest_again(&guest, &granted);
	CHECK_INT(restore(&guest, &state), 0);
	CHECK_INT(restore(&guest, &state), -EINVAL);
	guest_end(&guest);
	close(null);
}

/* A name beneath two granted folders is one of that which gives its rights. */
TEST(the_folder_that_gives_the_rights_is_taken)
{
	char outer[80], inner[96];
	struct wasi_folder folders[2] = { { outer, "/", false },
					  { inner, "/lib", true } };
	struct wasi_options options = { .folders = folders,
					.folder_count = 2,
					.stdio = { -1, -1, -1 } };
	uint64_t more = RIGHTS_READ | WASI_RIGHT_FD_FILESTAT_SET_TIMES;
	auto_buf struct buf state = { 0 };
	struct guest guest;
	int code;

	guest_begin(&guest, false);
	guest_folder(&guest, "lib");
	guest_make(&guest, "lib/x", "one");
	snprintf(outer, sizeof outer, "%s/in", guest.folder);
	snprintf(inner, sizeof inner, "%s/in/lib", guest.folder);
	wasi_close(guest.wasi);
	CHECK_INT(wasi_open(&guest.wasi, &options, NULL), 0);
	CHECK_INT(open_at(&guest, 3, "lib/x", 0, more, &code), 0);
	CHECK_INT(open_at(&guest, 4, "x", 0, RIGHTS_READ, &code), 1);
	CHECK_INT(open_at(&guest, 4, ".", 0, RIGHTS_READ, &code), 2);
	CHECK_INT(save(&guest, &state), 0);
	wasi_close(guest.wasi);
	CHECK_INT(wasi_open(&guest.wasi, &options, NULL), 0);
	CHECK_INT(restore(&guest, &state), 0);
	CHECK(guest.wasi->fds[0].rights & WASI_RIGHT_FD_FILESTAT_SET_TIMES);
	check_read(&guest, 0, "one");
	check_read(&guest, 1, "one");
	CHECK_INT(guest.wasi->fds[2].type, WASI_DIRECTORY);
	guest_end(&guest);
}

static int folders_of(const void *bytes, size_t len, struct buf *names)
{
	buf_clear(names);
	last = (struct err){ 0 };
	return wasi_state_folders(bytes, len, names, &last);
}

TEST(the_folders_that_it_needs_are_told)
{
	struct wasi_folder folders[2] = { { "/", "/", false },
					  { "/", "here", true } };
	struct wasi_options options = { .folders = folders,
					.folder_count = 2,
					.stdio = { -1, 1, -1 } };
	auto_buf struct buf state = { 0 }, names = { 0 };
	struct wasi *wasi;

	CHECK_INT(wasi_open(&wasi, &options, NULL), 0);
	CHECK_INT(wasi_state_save(wasi, &state, NULL), 0);
	CHECK_INT(folders_of(state.data, state.len, &names), 0);
	CHECK_INT(names.len, 7);
	CHECK(names.len == 7 && memcmp(names.data, "/\0here", 7) == 0);
	for (size_t len = 0; len < state.len; len++)
		CHECK_INT(folders_of(state.data, len, &names), -EBADMSG);
	wasi_close(wasi);
}

TEST(what_it_needs_beside_folders_is_told)
{
	int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct wasi_options options = { .sockets = &socket_fd,
					.socket_count = 1,
					.stdio = { -1, -1, -1 } };
	auto_buf struct buf state = { 0 }, names = { 0 };
	struct wasi *wasi;

	CHECK_INT(wasi_open(&wasi, &options, NULL), 0);
	CHECK_INT(wasi_state_save(wasi, &state, NULL), 0);
	CHECK_INT(folders_of(state.data, state.len, &names), -EINVAL);
	CHECK_TEXT(last.text, "it was made with a socket");
	wasi_close(wasi);
	close(socket_fd);
}

/* ---- bytes that are none ---------------------------------------------------- */

static void small_state(struct guest *guest, struct buf *state)
{
	guest_begin(guest, false);
	guest_make(guest, "x", "one two");
	CHECK_INT(open_reading(guest, "x"), 0);
	CHECK_INT(open_reading(guest, "."), 1);
	check_read(guest, 0, "one");
	CHECK_INT(save(guest, state), 0);
}

/* Exactly as long as they are, for the sanitizers. */
static int restore_exact(struct guest *guest, const void *bytes, size_t len)
{
	void *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, bytes, len);
	last = (struct err){ 0 };
	r = wasi_state_restore(guest->wasi, copy, len, &last);
	free(copy);
	return r;
}

TEST(cut_off_anywhere_it_is_none)
{
	struct granted granted = granted_as_usual();
	auto_buf struct buf state = { 0 };
	struct guest guest;
	int fds = open_fds();

	small_state(&guest, &state);
	guest_again(&guest, &granted);
	for (size_t len = 0; len < state.len; len++) {
		CHECK_INT(restore_exact(&guest, state.data, len), -EBADMSG);
		CHECK(strncmp(last.text, "warm state of WASI: ", 20) == 0);
	}
	buf_text(&state, "x");
	CHECK_INT(restore(&guest, &state), -EBADMSG);
	guest_end(&guest);
	CHECK_INT(open_fds(), fds);
}

/* A byte with each bit other: refused; with the sum made right, a line or a
 * state whose descriptors have no more than the grants give. */
TEST(with_any_byte_other_it_does_no_harm)
{
	struct granted granted = granted_as_usual();
	auto_buf struct buf state = { 0 }, names = { 0 };
	struct guest guest;
	int fds = open_fds(), refused = 0, taken = 0;

	small_state(&guest, &state);
	guest_again(&guest, &granted);
	for (size_t bit = 0; bit < 8 * state.len; bit++) {
		auto_buf struct buf other = { 0 };

		buf_add(&other, state.data, state.len);
		other.data[bit / 8] ^= 1 << bit % 8;
		CHECK_INT(restore_exact(&guest, other.data, other.len),
			  -EBADMSG);
		seal_state(other.data, other.len);
		if (wasi_state_folders(other.data, other.len, &names, &last) <
		    0)
			CHECK(last.text[0] && !strchr(last.text, '\n'));
		if (restore_exact(&guest, other.data, other.len) < 0) {
			CHECK(last.text[0] && !strchr(last.text, '\n'));
			refused++;
			continue;
		}
		taken++;
		CHECK(is_within_grants(&guest));
		guest_again(&guest, &granted);
	}
	/* The sum's own bits, flags, rights given up, places in files. */
	CHECK(refused > taken);
	guest_end(&guest);
	CHECK_INT(open_fds(), fds);
}

static void check_path(struct guest *guest, const char *path, int code)
{
	auto_buf struct buf state = { 0 };
	struct wasi_state head = {
		.magic = WASI_STATE_MAGIC,
		.version = WASI_STATE_VERSION,
		.header_bytes = sizeof head,
		.grant_count = 1,
		.fd_count = 1,
		.text_bytes = 1 + strlen(path),
	};
	struct wasi_state_grant grant = { 3, WASI_GRANT_FOLDER, 1, 0 };
	struct wasi_state_fd fd = { .kind = WASI_STATE_FOLDER,
				    .grant = 3,
				    .text_bytes = strlen(path) };
	struct stat stat;

	lstat(path[0] == '/' ? path : "/", &stat);
	wasi_state_stat(&fd, &stat);
	buf_add(&state, &head, sizeof head);
	buf_add(&state, &grant, sizeof grant);
	buf_add(&state, &fd, sizeof fd);
	buf_text(&state, "/");
	buf_text(&state, path);
	seal_state(state.data, state.len);
	CHECK_INT(restore(guest, &state), code);
}

TEST(no_path_leads_out)
{
	struct guest guest;

	guest_begin(&guest, false);
	guest_link(&guest, "/", "root");
	check_path(&guest, "/", -EINVAL);
	check_path(&guest, "/etc", -EINVAL);
	check_path(&guest, "..", -EINVAL);
	check_path(&guest, "../..", -EINVAL);
	check_path(&guest, "root", -EINVAL);
	check_path(&guest, "root/", -EINVAL);
	check_path(&guest, "", -EBADMSG);
	check_path(&guest, "a\33[2Jb", -EINVAL);
	CHECK_TEXT(last.text, "a\\1b[2Jb has changed since the warm state was "
			      "made: make it again");
	guest_end(&guest);
}

TEST_MAIN
