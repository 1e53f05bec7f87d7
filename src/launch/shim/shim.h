/* SPDX-License-Identifier: Apache-2.0 */
/* brood-shim.so lives inside somebody else's program.  It stops the program
 * when it is warm, and makes copies of it:
 *
 *	start.c		first constructor, __libc_start_main, entry to main
 *	interpose.c	open, /proc/self/exe: what is seen before the stop
 *	environment.c	getenv and all that reads variables before the stop
 *	input.c		the first read of standard input
 *	threads.c	threads that constructors start, put off until main
 *	stop.c		the stop itself and the report to the keeper
 *	serve.c		the template: its sockets, its loop
 *	copies.c	the template's table of copies
 *	drain.c		the template's end
 *	pool.c		copies that wait for a launch
 *	packet.c	packets with descriptors
 *	figures.c	what the template is
 *	receive.c	one client, up to a launch that may be carried out
 *	descriptors.c	the open files of a launch
 *	become.c	a copy takes over what the launch says
 *	resume.c	the same for a process that has mapped the image
 *	learn.c		which pages a copy touches
 *	hold.c		memory that outlives its process for a moment
 *	ram.c		a hypervisor's memory, put together from layers
 *
 * All state is in the one struct below.  Up to SHIM_MARK_STOP the shim makes
 * no system call of its own but the two marks, so that what the tracer sees
 * is the program's; after the stop it allocates no memory by malloc. */
#pragma once
#include "bare/identity.h"
#include "bare/raw.h"
#include "brood/pool_hint.h"
#include "brood/program_image.h"
#include "launch/shim_control.h"
#include <elf.h>
#include <linux/prctl.h>
#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define SHIM_EXPORT __attribute__((visibility("default")))
/* For functions that do not return to a frame made before the canary was
 * renewed, or that run on a stack which is not theirs. */
#define SHIM_BARE __attribute__((noinline, no_stack_protector))

enum {
	SHIM_PAGE = 4096,
	SHIM_THREADS_MOST = 32,
	SHIM_HANDLERS_MOST = 16,
	SHIM_AUXV_MOST = 48,
	SHIM_COPIES_MOST = 8192,
	SHIM_HOT_MOST = 4096,
	SHIM_FD_BASE = 900,	    /* numbers below are the program's */
	SHIM_CLIENT_WAIT_MS = 2000, /* for a packet of one that connected */
};

enum shim_phase {
	SHIM_INERT,   /* not ours to touch: all passes through */
	SHIM_BEFORE,  /* constructors run */
	SHIM_INSIDE,  /* main runs and a later stop is awaited */
	SHIM_STOPPED, /* the template, and copies before their main */
	SHIM_RUNNING, /* an instance: all passes through */
};
enum shim_stop {
	SHIM_AT_MAIN,
	SHIM_AT_INPUT,
	SHIM_AT_READY,
	SHIM_AT_OPEN,
};

typedef int shim_main_fn(int, char **, char **);
typedef void *shim_thread_fn(void *);

/* As the kernel has it, not as glibc does. */
struct shim_action {
	uint64_t handler, flags, restorer, mask;
};
struct shim_handler {
	int number;
	struct shim_action action;
};

struct shim_thread {
	pthread_t *out; /* NULL when it was a variable on the stack */
	pthread_t id;	/* once it runs */
	pthread_attr_t attr;
	shim_thread_fn *routine;
	void *argument;
	uint64_t blocked;
	int forks; /* depth of forks at which it was asked for */
	bool has_attr, detach, named, started;
	char name[16];
};

enum shim_copy_state { COPY_WAITING = 1, COPY_TALKING, COPY_LIVE };
struct shim_copy {
	enum shim_copy_state state;
	bool ready; /* of one that waits: its pages are there */
	pid_t pid;  /* 0 for one that still talks to the template */
	int pidfd;
	int connection; /* -1 for one that waits */
	uint64_t since_ms;
};

/* The template while it serves.  Memory that only the template uses is not
 * copied by fork. */
struct shim_serving {
	pid_t pid; /* of the template */
	uint64_t generation;
	uint32_t pool, hold, hatch;
	int listener, signals;
	int hint; /* file for starters, and what it says */
	struct pool_hint hinted;
	int tell, told;		   /* pool copies -> template */
	struct wire_identity said; /* who the template is */
	struct identity_seen seen;
	struct wire_limit limits[WIRE_LIMITS];
	uint32_t umask;
	int nice;
	char comm[16];
	uint64_t blocked;      /* mask at the stop */
	uint64_t dispositions; /* signals that are not at their default */
	struct prctl_mm_map mm;
	struct shim_copy *copy;
	int copy_count;
	uint32_t waiting, ready, live, talking;
	uint64_t launches;
	uint64_t refill_ms;  /* no new pool copy before, */
	uint64_t rest_ms;    /* or only in need */
	bool wanted;	     /* a clone was asked for while none waited */
	uint64_t counted_ms; /* since when COUNTS are due */
	bool counts_changed;
	bool draining, alone; /* the keeper is gone */
};

/* One launch, in the copy. */
struct shim_launch {
	struct wire_launch *packet; /* start of the block */
	char *strings;
	size_t block_bytes;
	pid_t pid; /* of the instance */
	int connection, pidfd;
	int fd[WIRE_FD_MOST + 2];
	int fd_count;
	int peer; /* process number of the client, */
	bool looked, visible;
	struct identity_seen seen; /* and who that is */
	char reason[WIRE_TEXT_MOST];
};

struct shim_learning {
	int state; /* LEARN_* in learn.c, changed by copies */
	uint32_t count;
};
struct shim_range {
	uint64_t start, end;
	bool write;
};

struct shim_real {
#define REAL(result, name, types) result(*name) types;
#include "launch/shim/real.def"
#undef REAL
};

struct shim {
	struct shim_real real;
	enum shim_phase phase;
	enum shim_stop stop;
	int control;
	char stop_path[1024];

	shim_main_fn *main;
	int argc;
	char **argv, **envp; /* that main is to get */
	char **first_argv;
	Elf64_auxv_t auxv[SHIM_AUXV_MOST];
	int auxv_count;

	struct control_stopped stopped;
	struct shim_thread thread[SHIM_THREADS_MOST];
	int thread_count, forks;
	struct shim_handler handler[SHIM_HANDLERS_MOST];
	int handler_count;
	uint64_t blocked_before;
	uint64_t ram_at, ram_bytes; /* put together here, for madvise */
	char exe[1024]; /* answer for /proc/self/exe, "" to ask the kernel */

	struct shim_serving serving;
	struct shim_launch launch;
	struct shim_learning *learning; /* shared by all copies; NULL once */
	struct image_hot *hot;		/* likewise	    it is learned */
	int hot_fd;
	struct image_hot *known; /* the template's own, checked */
	uint32_t known_count;
	struct shim_range *range;
	int range_count;
	/* The helper of hold.c: 0 once it has let go, and what it waits for. */
	int hold_pid;
	int volatile *hold_word;
	int hold_for;
	int volatile hold_over;
	char hold_stack[4096] __attribute__((aligned(64)));
};

#pragma GCC visibility push(hidden)

extern struct shim shim;

/* start.c */
_Noreturn void start_enter(void);

/* interpose.c: the functions that stand behind ours */
void interpose_resolve(void);
static inline const struct shim_real *shim_real(void)
{
	/* Loaders may run other constructors before ours. */
	if (__builtin_expect(!shim.real.getenv, 0))
		interpose_resolve();
	return &shim.real;
}
bool interpose_is_exe(const char *path);

/* threads.c */
void threads_start(void);

/* stop.c */
void stop_mark(enum shim_mark mark);
/* Returns in a copy, or at once where nobody is at the other end. */
void stop_here(void);
void stop_refuse(const char *reason); /* the first one is reported */

/* packet.c: 0 or more, or a negative errno */
long packet_send(int socket, const void *data, size_t len, const int *fds,
		 int fd_count, int flags);
long packet_receive(int socket, void *data, size_t len, int *fds, int fd_room,
		    int *fd_count, int flags);

/* figures.c */
void figures_read(struct shim_serving *serving);
bool figures_cpus_are_busy(void);

/* serve.c: returns only in a copy that has taken its launch over */
void serve(const struct control_serve *order);
_Noreturn void serve_fail(const char *what, long error);
bool serve_accept(void); /* false: there was nobody */
void serve_counts_change(void);
void serve_count(bool last);
uint64_t serve_now_ms(void);

/* copies.c */
int copies_init(void);
struct shim_copy *copies_add(enum shim_copy_state state, pid_t pid,
			     int connection); /* takes the connection */
struct shim_copy *copies_find(pid_t pid);
void copies_set_live(struct shim_copy *copy, pid_t pid, int connection);
void copies_set_ready(struct shim_copy *copy);
void copies_remove(struct shim_copy *copy);
void copies_reap(void);
void copies_hang_up(struct shim_copy *copy);

/* drain.c */
void drain_begin(void);
void drain_look(void);

/* pool.c */
pid_t pool_fork(void);
bool pool_fill(void); /* true in a copy that has become an instance */
void pool_hint(void);
void pool_heard(void);

/* receive.c */
void receive_prepare(void);
bool receive(int connection); /* true: shim.launch is complete */
int receive_peek(int connection);
bool receive_is_ours(int connection);
void receive_refuse(int connection, const char *reason);

/* become.c: ends the process where it cannot */
void become(void);
void become_named(char **argv, char **envp, const char *comm);

/* descriptors.c */
void close_all_but(int first, const int *keep, int count);
long descriptors_take(struct shim_launch *launch);

/* resume.c */
image_resume_entry shim_resume;

/* learn.c */
void learn_prepare(void);
void learn_watch(void);
void learn_prefault(void);
void learn_hide(void);
void learn_report(void);

/* hold.c */
void hold_memory(void);
void hold_release(void);

#pragma GCC visibility pop
