/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's own socket, and its status as one JSON object: the answer to
 * "status", and the file that is left for those who come when no keeper
 * lives.
 *
 *	client	->	"status" | "refresh" | "stop" | "demand"
 *		<-	{"ok":true, ...status} | {"ok":false,"error":"..."}
 *
 * "demand" comes from a starter that found nothing warm and does not wait: a
 * generation is made only if the one that there is does not fit any more.
 * The same is meant by a "refresh" whose sender has gone.  However many ask
 * for a refresh at a time, they get one generation.
 *
 * A question that comes while a generation starts waits for its end; so the
 * first answer of a keeper tells whether its template stands. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "launch/keeper_internal.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONTROL_BACKLOG = 1024,
	CONTROL_GONE_MS = 2, /* so long after its word a starter is gone */
	CONTROL_WORD_MOST = 64,
	CONTROL_STATUS_MOST = 256 * 1024
};

static const char *control_state_word(enum keeper_state state)
{
	static const char *const words[] = { "starting",   "serving",
					     "image only", "refused",
					     "failed",	   "stopped" };

	return words[state];
}

/* ---- status ------------------------------------------------------------ */

static void control_status_current(const struct keeper *keeper,
				   struct json *json)
{
	const struct template *current = keeper->current;

	json_number(json, "pid", current ? current->pid : 0);
	json_number(json, "waiting", current ? current->waiting : 0);
	json_text(json, "socket",
		  current && current->socket ? current->socket : "");
	json_number(json, "started",
		    current ? (int64_t)(current->started_ns / 1000000000) : 0);
	json_bool(json, "fixed", current && current->fixed);
	json_bool(json, "deep", current && current->deep);
}

static int64_t control_count_old(const struct keeper *keeper)
{
	int64_t count = 0;

	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		count += keeper->old[i] != NULL;
	return count;
}

static void control_status_members(const struct keeper *keeper,
				   struct json *json)
{
	const struct spec *spec = keeper->spec;

	json_text(json, "key", keeper->place->key);
	json_text(json, "name", spec->name ? spec->name : "");
	json_text(json, "program", spec->program);
	json_text(json, "state", control_state_word(keeper->state));
	json_text(json, "reason", keeper->reason);
	control_status_current(keeper, json);
	json_number(json, "keeper", keeper->released ? 0 : getpid());
	json_number(json, "generation", (int64_t)keeper->generation);
	json_number(json, "draining", control_count_old(keeper));
	json_number(json, "launches", (int64_t)keeper_launches(keeper));
	json_number(json, "live", keeper_live(keeper));
	json_bool(json, "clone", keeper->verdict.clone);
	json_text(json, "clone_reason", keeper->verdict.no_clone);
	json_bool(json, "hatch", keeper->verdict.hatch);
	json_text(json, "hatch_reason", keeper->verdict.no_hatch);
	json_text(json, "refreshed_by", keeper->refreshed_by);
	json_number(json, "changes", (int64_t)keeper->changes);
	json_number(json, "libraries_moved", keeper->libraries_moved);
	json_text(json, "last_error", keeper->last_error);
}

void keeper_status_write(const struct keeper *keeper)
{
	auto_buf struct buf text = { 0 };
	struct json json;

	if (keeper->removed)
		return;
	json_start(&json, &text);
	json_open(&json, NULL);
	control_status_members(keeper, &json);
	json_close(&json);
	buf_text(&text, "\n");
	if (!text.failed)
		file_publish(keeper->place->status, text.data, text.len, 0600,
			     NULL);
}

/* Numbers go on where the keeper before stopped. */
uint64_t keeper_status_generation(const struct registry_place *place)
{
	auto_buf struct buf text = { 0 };
	int64_t number;

	if (file_read(place->status, &text, CONTROL_STATUS_MOST, NULL) < 0)
		return 0;
	number = json_get_number(buf_string(&text), "generation", 0);
	return number > 0 && number < 1000000000 ? (uint64_t)number : 0;
}

/* ---- answers ----------------------------------------------------------- */

static void control_answer(struct keeper_client *client, const struct buf *text)
{
	if (!text->failed && text->len <= KEEPER_ANSWER_MOST)
		(void)fd_send(client->fd, text->data, text->len, NULL, 0, NULL);
	fd_close(&client->fd);
	client->wish = KEEPER_WISH_NONE;
}

static void control_answer_status(const struct keeper *keeper,
				  struct keeper_client *client)
{
	auto_buf struct buf text = { 0 };
	struct json json;

	json_start(&json, &text);
	json_open(&json, NULL);
	json_bool(&json, "ok", true);
	control_status_members(keeper, &json);
	json_close(&json);
	control_answer(client, &text);
}

static void control_answer_error(struct keeper_client *client,
				 const char *error)
{
	auto_buf struct buf text = { 0 };
	struct json json;

	json_start(&json, &text);
	json_open(&json, NULL);
	json_bool(&json, "ok", false);
	json_text(&json, "error", error);
	json_close(&json);
	control_answer(client, &text);
}

static bool control_has_gone(const struct keeper_client *client, int wait_ms)
{
	return fd_wait(client->fd, POLLRDHUP, wait_ms) != 0;
}

static bool control_wants_refresh(struct keeper *keeper,
				  struct keeper_client *client)
{
	if (client->fd < 0 || client->wish != KEEPER_WISH_REFRESH)
		return false;
	if (!control_has_gone(client, CONTROL_GONE_MS))
		return true;
	fd_close(&client->fd);
	keeper_watch_demand(keeper);
	return false;
}

static int control_count_refresh(struct keeper *keeper)
{
	int count = 0;

	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		count += control_wants_refresh(keeper, &keeper->client[i]);
	return count;
}

static void control_answer_refresh(const struct keeper *keeper,
				   struct keeper_client *client,
				   const struct err *err)
{
	if (client->fd < 0 || client->wish != KEEPER_WISH_REFRESH)
		return;
	if (err->code < 0)
		control_answer_error(client, err->text);
	else
		control_answer_status(keeper, client);
}

void keeper_control_refresh(struct keeper *keeper)
{
	struct err err = { 0 };

	if (!control_count_refresh(keeper))
		return;
	if (keeper->stopping)
		err_set(&err, -EPROTO, "the keeper stops");
	else
		keeper_renew(keeper, "hand", &err);
	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		control_answer_refresh(keeper, &keeper->client[i], &err);
}

/* ---- the socket -------------------------------------------------------- */

int keeper_control_open(struct keeper *keeper, struct err *err)
{
	keeper->listener =
		fd_listen(keeper->place->control, CONTROL_BACKLOG, err);
	return keeper->listener < 0 ? keeper->listener : 0;
}

static bool control_is_own_user(int socket)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	return peer.uid == geteuid() || peer.uid == 0;
}

static struct keeper_client *control_free_client(struct keeper *keeper)
{
	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		if (keeper->client[i].fd < 0)
			return &keeper->client[i];
	return NULL;
}

/* With all places taken by silent clients the first one has to go. */
static struct keeper_client *control_place_client(struct keeper *keeper, int fd)
{
	struct keeper_client *client = control_free_client(keeper);

	if (!client) {
		client = &keeper->client[0];
		fd_close(&client->fd);
	}
	*client = (struct keeper_client){ .fd = fd };
	return client;
}

/* Most have sent their word already, and some do not wait. */
void keeper_control_accept(struct keeper *keeper)
{
	struct keeper_client *client;
	int fd;

	while (fd_wait(keeper->listener, POLLIN, 0) == 1) {
		fd = accept4(keeper->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (!control_is_own_user(fd)) {
			fd_close(&fd);
			continue;
		}
		client = control_place_client(keeper, fd);
		if (fd_wait(fd, POLLIN, 0) == 1)
			keeper_control_read(keeper, client);
	}
}

static void control_obey(struct keeper *keeper, struct keeper_client *client,
			 const char *word)
{
	if (!strcmp(word, "status")) {
		control_answer_status(keeper, client);
	} else if (!strcmp(word, "refresh")) {
		client->wish = KEEPER_WISH_REFRESH;
	} else if (!strcmp(word, "demand")) {
		keeper_watch_demand(keeper);
		control_answer_status(keeper, client);
	} else if (!strcmp(word, "stop")) {
		client->wish = KEEPER_WISH_STOP;
		keeper_stop(keeper, "stopped by hand");
	} else {
		control_answer_error(client,
				     "unknown command: status, refresh, stop");
	}
}

void keeper_control_read(struct keeper *keeper, struct keeper_client *client)
{
	char word[CONTROL_WORD_MOST + 1] = { 0 };
	int fd_count = 0;
	ssize_t len;

	/* One word is enough; who goes before the answer is seen then. */
	if (client->wish != KEEPER_WISH_NONE) {
		if (control_has_gone(client, 0))
			fd_close(&client->fd);
		return;
	}
	len = fd_receive(client->fd, word, CONTROL_WORD_MOST, NULL, 0,
			 &fd_count, NULL);
	if (len <= 0)
		fd_close(&client->fd);
	else
		control_obey(keeper, client, word);
}

/* The first generation has failed: those who wait shall know. */
void keeper_control_answer_all(struct keeper *keeper)
{
	if (keeper->state == KEEPER_SERVING ||
	    keeper->state == KEEPER_IMAGE_ONLY)
		return;
	if (keeper->listener >= 0)
		keeper_control_accept(keeper);
	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		if (keeper->client[i].fd >= 0)
			control_answer_status(keeper, &keeper->client[i]);
}

void keeper_control_answer_stop(struct keeper *keeper)
{
	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		if (keeper->client[i].fd >= 0 &&
		    keeper->client[i].wish == KEEPER_WISH_STOP)
			control_answer_status(keeper, &keeper->client[i]);
}

void keeper_control_close(struct keeper *keeper)
{
	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		fd_close(&keeper->client[i].fd);
}
