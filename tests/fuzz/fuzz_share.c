/* SPDX-License-Identifier: Apache-2.0 */
/* What lies on a share, as any bytes: the record of the share, the record of a
 * lock's holder, the names and the hint of a chain.  The first byte tells
 * which. */
#include "base/fd.h"
#include "share/chain.h"
#include "share/internal.h"
#include "share/share.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_facts(const char *text, size_t len)
{
	struct share_facts facts;
	struct err err = { 0 };
	int rc = share_facts_read(text, len, &facts, &err);

	if (rc < 0 && !err.text[0])
		__builtin_trap();
	if (rc >= 0 &&
	    (!share_is_id(facts.id) || facts.ttl_ms < SHARE_TTL_LEAST_MS ||
	     facts.ttl_ms > SHARE_TTL_MOST_MS))
		__builtin_trap();
}

static void look_words(const struct share_holder *holder)
{
	for (const char *c = holder->words; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			__builtin_trap();
}

/* What is no record is a holder of which nothing is known, never none. */
static void look_holder(const char *text, size_t len)
{
	struct share_holder holder;
	uint64_t epoch;

	if (!lock_record_parse(text, len, 0, &holder)) {
		if (!holder.held || holder.host[0] || holder.words[0])
			__builtin_trap();
		return;
	}
	if (!share_is_id(holder.host) || !share_is_id(holder.nonce))
		__builtin_trap();
	look_words(&holder);
	epoch = holder.epoch;
	if (epoch && lock_record_parse(text, len, epoch + 1, &holder))
		__builtin_trap();
}

static void look_file(const char *text, size_t len)
{
	auto_close int fd = memfd_create("epoch", MFD_CLOEXEC);
	struct lock_record record;

	if (fd < 0 || fd_write_all(fd, text, len, NULL) < 0 ||
	    lock_record_load(fd, &record) < 0)
		return;
	look_holder(record.text, record.len);
}

static void look_name(const char *text, size_t len)
{
	char *name = strndup(text, len);
	char again[64];
	uint64_t n;

	if (name && chain_number("e", name, &n)) {
		snprintf(again, sizeof again, "e.%lu", (unsigned long)n);
		if (strcmp(name, again) != 0 || n == 0)
			__builtin_trap();
	}
	free(name);
}

/* Three entries, and a hint that says anything: the third is the last. */
static void look_hint(const char *text, size_t len)
{
	static const char *const names[] = { "e.1", "e.2", "e.3" };
	char folder[] = "/tmp/brood-fuzz-XXXXXX";
	auto_close int dir = -1;
	uint64_t last = 0;

	if (!mkdtemp(folder))
		return;
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		close(openat(dir, names[i], O_CREAT | O_WRONLY | O_CLOEXEC,
			     0600));
	int fd = openat(dir, "e.hint", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	fd_write_all(fd, text, len, NULL);
	close(fd);
	if (chain_last(dir, "e", &last, NULL) < 0 || last != 3)
		__builtin_trap();
	for (int i = 0; i < 3; i++)
		unlinkat(dir, names[i], 0);
	unlinkat(dir, "e.hint", 0);
	rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const looks[])(const char *, size_t) = {
		look_facts, look_holder, look_file, look_name, look_hint
	};

	if (size > 0)
		looks[data[0] % 5]((const char *)data + 1, size - 1);
	return 0;
}
