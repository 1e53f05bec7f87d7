/* SPDX-License-Identifier: Apache-2.0 */
/* What the self-test of KVM has found out: once a boot, in a memo. */
#include "domain/kvm_facts.h"
#include "bare/host.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/memo.h"
#include "domain/kvm.h"
#include "domain/kvm_selftest.h"
#include "jit/jit.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { FACTS_MOST = 4096 };

/* As the begin of /proc/cpuinfo names it. */
static void facts_microcode(struct buf *key)
{
	auto_close int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	char text[512];
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	char *at;

	text[len < 0 ? 0 : len] = 0;
	at = strstr(text, "\nmicrocode");
	if (at)
		buf_format(key, " %.*s", (int)strcspn(at + 1, "\n"), at + 1);
}

/* What the outcome depends on, behind a number for what is tried; false where
 * it cannot be told. */
static bool facts_key(struct buf *key)
{
	uint64_t boot = host_boot();
	struct utsname name;

	if (!boot || uname(&name) < 0)
		return false;
	buf_format(key, "1 %lx %lx %s", boot, kvm_selftest_hash(),
		   name.release);
	facts_microcode(key);
	return !key->failed;
}

/* "FLAGS FEATURES 7 COSTS WHY" */
static void facts_write(const struct kvm_facts *facts, struct buf *text)
{
	buf_format(text, "%d%d%d%d%d %x %u %u %u %u %u %u %u %s", facts->usable,
		   facts->bell_port, facts->bell_store, facts->needs_cpuid,
		   facts->native_ring0, facts->features, facts->vm_ns,
		   facts->cpu_ns, facts->first_ns, facts->port_ns,
		   facts->store_ns, facts->page_ns, facts->ring0_ns,
		   facts->why);
}

static bool facts_flags(struct kvm_facts *facts, const char *flags)
{
	bool *const to[] = { &facts->usable, &facts->bell_port,
			     &facts->bell_store, &facts->needs_cpuid,
			     &facts->native_ring0 };

	for (int i = 0; i < 5; i++) {
		if (flags[i] != '0' && flags[i] != '1')
			return false;
		*to[i] = flags[i] == '1';
	}
	return true;
}

/* A machine may have moved to another processor without a boot. */
static bool facts_fit(const struct kvm_facts *facts)
{
	bool has_bell = facts->bell_port || facts->bell_store;

	return (facts->features & ~jit_cpu_features()) == 0 &&
	       facts->usable == !*facts->why && (has_bell || !facts->usable);
}

/* What it does not write in the same way has not been written by it. */
static bool facts_read(struct kvm_facts *facts, const char *text)
{
	auto_buf struct buf again = { 0 };
	char flags[6] = "";
	int at = 0;

	*facts = (struct kvm_facts){ 0 };
	if (sscanf(text, "%5s %x %u %u %u %u %u %u %u%n", flags,
		   &facts->features, &facts->vm_ns, &facts->cpu_ns,
		   &facts->first_ns, &facts->port_ns, &facts->store_ns,
		   &facts->page_ns, &facts->ring0_ns, &at) != 9 ||
	    text[at] != ' ' || !facts_flags(facts, flags))
		return false;
	snprintf(facts->why, sizeof(facts->why), "%s", text + at + 1);
	facts_write(facts, &again);
	return !again.failed && strcmp(buf_string(&again), text) == 0 &&
	       facts_fit(facts);
}

static bool facts_recall(const char *key, struct kvm_facts *facts)
{
	auto_buf struct buf value = { 0 };

	return memo_get("kvm", key, &value) &&
	       facts_read(facts, buf_string(&value));
}

static void facts_remember(const char *key, const struct kvm_facts *facts)
{
	auto_buf struct buf value = { 0 };

	facts_write(facts, &value);
	if (!value.failed)
		memo_put("kvm", key, buf_string(&value), NULL);
}

/* The key, a line; and what is remembered by it. */
bool kvm_facts_text(const struct kvm_facts *facts, struct buf *text)
{
	if (!facts_key(text))
		return false;
	buf_text(text, "\n");
	facts_write(facts, text);
	return !text->failed;
}

static bool facts_told(const char *path, const char *key,
		       struct kvm_facts *facts)
{
	auto_buf struct buf text = { 0 };
	size_t len = strlen(key);

	return file_read(path, &text, FACTS_MOST, NULL) >= 0 &&
	       strncmp(buf_string(&text), key, len) == 0 &&
	       text.data[len] == '\n' && facts_read(facts, text.data + len + 1);
}

/* Whether it can be opened is asked each time. */
static int facts_open(struct err *err)
{
	auto_kvm struct kvm kvm;

	return kvm_open(&kvm, err);
}

void kvm_facts_find(struct kvm_facts *facts)
{
	kvm_facts_find_told(facts, NULL);
}

void kvm_facts_find_told(struct kvm_facts *facts, const char *path)
{
	auto_buf struct buf key = { 0 };
	bool has_key = facts_key(&key);
	struct err err = { 0 };
	int r = facts_open(&err);

	if (r >= 0 && has_key &&
	    ((path && facts_told(path, buf_string(&key), facts)) ||
	     facts_recall(buf_string(&key), facts)))
		return;
	if (r >= 0)
		r = kvm_selftest_run(facts, &err);
	if (r >= 0 && has_key)
		facts_remember(buf_string(&key), facts);
	if (r >= 0)
		return;
	*facts = (struct kvm_facts){ .code = r };
	snprintf(facts->why, sizeof(facts->why), "%.119s", err.text);
}
