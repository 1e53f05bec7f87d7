/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's state, shared by its files:
 *
 *	keeper.c		life and loop
 *	keeper_generations.c	one generation after the other
 *	keeper_copies.c		what shims tell; instances that outlive theirs
 *	keeper_control.c	its socket and its status
 *	keeper_watch.c		files that a template is made of
 */
#pragma once
#include "base/err.h"
#include "base/file.h"
#include "launch/keeper.h"
#include "launch/template.h"
#include <stdint.h>

enum {
	KEEPER_OLD_MOST = 16,	  /* generations that drain */
	KEEPER_CLIENTS_MOST = 32, /* of the control socket */
	KEEPER_ANSWER_MOST = 64 * 1024,
	KEEPER_DRAIN_MS = 10000, /* then an old generation is killed */
	KEEPER_BACKOFF_MS = 100,
	KEEPER_BACKOFF_MOST_MS = 30000,
	KEEPER_SETTLED_MS = 10000, /* a generation that lived so long is fine */
	KEEPER_DEBOUNCE_MS = 200,
	KEEPER_FACT_MS = 60000, /* at most one new generation for facts */
	KEEPER_BLIND_MS = 2000, /* looks so often where it cannot watch */
};

#define KEEPER_NEVER UINT64_MAX /* of a timer, in monotonic ns */

enum keeper_state {
	KEEPER_STARTING,
	KEEPER_SERVING,
	KEEPER_IMAGE_ONLY,
	KEEPER_REFUSED,
	KEEPER_FAILED,
	KEEPER_STOPPED,
};

/* An instance whose template has ended. */
struct keeper_copy {
	pid_t pid;
	int pidfd;
	int connection;	     /* to its client */
	uint64_t generation; /* that gave it up */
	bool killed;
};

/* A file that the serving generation is made of. */
struct keeper_file {
	char *path;
	uint32_t fact;	/* enum fact_kind, 0 for a mapped file */
	uint64_t value; /* of the fact, or a hash of the stamp */
};

struct keeper_watch {
	int inotify;
	struct keeper_file *file;
	size_t count, room;
	bool blind; /* not all could be watched */
	uint64_t looked_ns;
	uint64_t look_at;    /* timer */
	uint64_t fact_at_ns; /* last generation made for a fact */
};

enum keeper_wish { KEEPER_WISH_NONE, KEEPER_WISH_REFRESH, KEEPER_WISH_STOP };
struct keeper_client {
	int fd;
	enum keeper_wish wish; /* that it waits for */
};

struct keeper {
	const struct registry_place *place;
	const struct spec *spec;
	int lock, signals, listener, ready_fd;
	struct keeper_client client[KEEPER_CLIENTS_MOST];
	struct keeper_watch watch;

	enum keeper_state state;
	char reason[252]; /* why it stands so, "" when it serves */
	char last_error[252];
	uint64_t generation;	  /* number of the newest */
	struct file_stamp tried;  /* the program, as that one found it */
	struct template *current; /* serves, or its image does; or NULL */
	struct template *old[KEEPER_OLD_MOST];
	char *libraries; /* of the newest generation that stood */
	struct verdict verdict;
	int libraries_moved;
	uint64_t launches_before; /* by generations that have ended */
	uint64_t changes;
	const char *refreshed_by;
	struct keeper_copy *copy;
	size_t copies, copy_room;

	uint64_t stood_ns; /* when current began to serve */
	uint64_t used_ns;  /* last launch, or last time a copy lived */
	uint64_t retry_at; /* timer: the next generation is due */
	const char *retry_why;
	int backoff_ms;
	bool stopping; /* generations drain, then all ends */
	bool released; /* only copies are waited for */
	bool removed;  /* the entry is gone */
	bool lost;     /* so is the lock: the names are another keeper's */
};

/* keeper.c */
void keeper_stop(struct keeper *keeper, const char *why);

/* keeper_generations.c */
void keeper_tell_ready(struct keeper *keeper, const char *line);
void keeper_set_state(struct keeper *keeper, enum keeper_state state,
		      const char *reason);
int keeper_first(struct keeper *keeper, struct err *err);
void keeper_renew_due(struct keeper *keeper);
/* The current generation serves what waits, and ends. */
void keeper_retire(struct keeper *keeper);
/* Starts the next generation and, where it stands, puts it in front. */
int keeper_renew(struct keeper *keeper, const char *why, struct err *err);
/* Its sockets and images are another keeper's from now on. */
void keeper_disown(struct keeper *keeper);
/* Starters go cold from now on; the next generation is due soon. */
void keeper_withdraw(struct keeper *keeper, const char *why, const char *what);
/* A generation due soon, while the one before still serves. */
void keeper_renew_soon(struct keeper *keeper, const char *why);
/* A generation's process has ended. */
void keeper_ended(struct keeper *keeper, struct template *template,
		  const char *how);
uint64_t keeper_launches(const struct keeper *keeper);
uint32_t keeper_live(const struct keeper *keeper);

/* keeper_copies.c */
void keeper_hear(struct keeper *keeper, struct template *template);
void keeper_reap(struct keeper *keeper);
void keeper_hang_up(struct keeper *keeper, size_t copy);
void keeper_copies_fini(struct keeper *keeper);

/* keeper_control.c */
int keeper_control_open(struct keeper *keeper, struct err *err);
void keeper_control_accept(struct keeper *keeper);
void keeper_control_read(struct keeper *keeper, struct keeper_client *client);
/* One new generation for all who have asked for one. */
void keeper_control_refresh(struct keeper *keeper);
void keeper_control_answer_stop(struct keeper *keeper);
void keeper_control_close(struct keeper *keeper);
/* Those who asked before there was anything to tell. */
void keeper_control_answer_all(struct keeper *keeper);
void keeper_status_write(const struct keeper *keeper);
uint64_t keeper_status_generation(const struct registry_place *place);

/* keeper_watch.c */
int keeper_watch_open(struct keeper *keeper, struct err *err);
/* For the files of the image that is public now. */
void keeper_watch_image(struct keeper *keeper);
void keeper_watch_read(struct keeper *keeper);
void keeper_watch_look(struct keeper *keeper);
/* Somebody found nothing warm: looks, but not too often. */
void keeper_watch_demand(struct keeper *keeper);
void keeper_watch_close(struct keeper *keeper);
/* The checked header of an image, malloced; NULL when it is none. */
struct program_image *keeper_image_header(const char *path, struct err *err);
