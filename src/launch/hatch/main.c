/* SPDX-License-Identifier: Apache-2.0 */
/* The launch on one screen: read the entry, compare the image with how
 * things are now, take the best way that is right, else a plain exec. */
#include "bare/image_check.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <string.h>
#include <sys/mman.h>

/* Where a person or job control looks on, only the caller's own process
 * will do. */
static bool main_has_terminal(void)
{
	char attributes[64];

	for (int fd = 0; fd < 3; fd++)
		if (raw_3(ioctl, fd, 0x5401, attributes) == 0) /* TCGETS */
			return true;
	return false;
}

/* Named templates have words of their own in front of the caller's.  false
 * after a message: without them it would be another program. */
static bool main_add_base_words(struct starter *starter)
{
	const struct start_entry *entry = &starter->entry;
	uint64_t count = entry->base_argc + starter->argc;
	const char *word = entry->base_argv;
	char **argv;
	long at;

	if (entry->base_argc == 0)
		return true;
	at = raw_6(mmap, STARTER_WORDS_AT, (count + 1) * sizeof *argv,
		   PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (at < 0) {
		text_say(starter, "no memory for the words of the template");
		return false;
	}
	argv = (char **)at;
	for (uint32_t i = 0; i < entry->base_argc; i++) {
		argv[i] = (char *)(size_t)word;
		word += strlen(word) + 1;
	}
	memcpy(argv + entry->base_argc, starter->argv + 1,
	       starter->argc * sizeof *argv);
	starter->argc = count - 1;
	starter->argv = argv;
	return true;
}

static bool main_may_clone(const struct starter *starter)
{
	return starter->image && (starter->image->flags & IMAGE_CAN_CLONE);
}

static bool main_may_hatch(const struct starter *starter)
{
	return starter->image && (starter->image->flags & IMAGE_CAN_HATCH);
}

/* A hatch does not return: the template that was missed is asked for now. */
static void main_hatch_after(struct starter *starter)
{
	if (starter->stale)
		demand_keeper(starter);
	starter->stale = false;
	hatch_try(starter);
}

/* A copy that waits is the fastest way, one that has yet to be forked slower
 * than a hatch. */
static void main_choose(struct starter *starter)
{
	bool clone = main_may_clone(starter) && !main_has_terminal();
	bool first =
		clone && (!main_may_hatch(starter) || clone_waits(starter));

	if (first)
		clone_try(starter);
	if (main_may_hatch(starter)) /* which image it is may have changed */
		main_hatch_after(starter);
	if (clone && !first)
		clone_try(starter);
}

static void main_try_warm(struct starter *starter)
{
	bool deep = starter->entry.flags & ENTRY_DEEP;
	bool clone = starter->via == VIA_CLONE;

	entry_load_image(starter);
	starter->checked_ns = text_now_ns();
	if (!starter->image) {
		if (starter->stale)
			demand_keeper(starter);
		return;
	}
	if (deep && starter->argc != (int)starter->entry.base_argc) {
		text_reason(starter, "this template takes no arguments", "",
			    "");
		return;
	}
	if (starter->via == VIA_AUTO)
		main_choose(starter);
	else if (clone ? main_may_clone(starter) : main_may_hatch(starter))
		clone ? clone_try(starter) : hatch_try(starter);
	else
		text_reason(starter, "the program cannot be started by ",
			    clone ? "clone" : "hatch", "");
	if (starter->stale)
		demand_keeper(starter);
}

/* An entry that was removed since somebody looked for it. */
static bool main_knows_program(struct starter *starter)
{
	size_t len = starter->program ? strlen(starter->program) + 1 : 0;

	if (len == 0 || len > sizeof starter->entry.program)
		return false;
	memcpy(starter->entry.program, starter->program, len);
	return true;
}

/* Called by _start with the stack as the kernel laid it out. */
__attribute__((used)) int starter_main(uint64_t *stack)
{
	struct starter starter;
	int failed;

	memset(&starter, 0, offsetof(struct starter, stub_path));
	starter.executed = "";
	starter.image = NULL;
	starter.image_fd = -1;
	starter.stale = starter.changed = false;
	starter.reason[0] = 0;
	starter.checked_ns = starter.connected_ns = starter.mapped_ns = 0;
	starter.started_ns = text_now_ns();
	if (!options_read(&starter, stack))
		return 100;
	if (!rights_drop(&starter))
		return 111;
	failed = entry_load(&starter);
	if (failed && main_knows_program(&starter))
		return exec_floor(&starter);
	if (failed) {
		text_say(&starter, starter.reason);
		return starter.stub ? exec_next_in_path(&starter) : failed;
	}
	if (!main_add_base_words(&starter))
		return 111;
	if (starter.via == VIA_EXEC)
		text_reason(&starter, "as asked for", "", "");
	else
		main_try_warm(&starter);
	return exec_floor(&starter);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call starter_main\n"
	"	mov %eax, %edi\n"
	"	mov $231, %eax\n" /* exit_group */
	"	syscall\n");
