/* SPDX-License-Identifier: Apache-2.0 */
/* brood launch of what is served in domains: asks a worker, and ends as the
 * program has ended. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/launch.h"
#include "cli/run.h"
#include "domain/domain_wire.h"
#include "domain/server_place.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAUNCH_TRIES = 20 };

struct launching {
	const struct launch_options *options;
	char **words;
	int count, connection;
	uint64_t generation;
};

/* ---- what is asked for ---------------------------------------------------- */

static void launching_add(struct buf *strings, const char *text)
{
	buf_add(strings, text, strlen(text) + 1);
}

/* How many there are. */
static uint32_t launching_environment(const struct args_list *list,
				      struct buf *strings)
{
	uint32_t count = 0;

	for (int i = 0; i < list->count; i++) {
		const char *word = list->item[i], *value = getenv(word);
		auto_free char *text =
			value && !strchr(word, '=')
				? file_format("%s=%s", word, value)
				: NULL;

		if (!text && !strchr(word, '='))
			continue;
		launching_add(strings, text ? text : word);
		count++;
	}
	return count;
}

static int launching_fds(int fds[3], uint32_t *which)
{
	int count = 0;

	*which = 0;
	for (int i = 0; i < 3; i++) {
		if (fcntl(i, F_GETFD) < 0)
			continue;
		*which |= 1u << i;
		fds[count++] = i;
	}
	return count;
}

static int launching_say(const struct launching *launching, struct err *err)
{
	struct domain_wire_launch launch = {
		.argc = (uint32_t)launching->count - 1,
		.timeout_ms = (uint64_t)launching->options->timeout_ms,
	};
	auto_buf struct buf strings = { 0 }, packet = { 0 };
	int fds[3], fd_count = launching_fds(fds, &launch.stdio);

	for (int i = 1; i < launching->count; i++)
		launching_add(&strings, launching->words[i]);
	launch.envc = launching_environment(&launching->options->environment,
					    &strings);
	if (strings.failed || strings.len > DOMAIN_WIRE_STRINGS_MOST)
		return err_set(err, -E2BIG, "the arguments");
	launch.string_bytes = (uint32_t)strings.len;
	launch.head = domain_wire_head(DOMAIN_WIRE_LAUNCH,
				       sizeof(launch) + strings.len);
	buf_add(&packet, &launch, sizeof(launch));
	buf_add(&packet, strings.data, strings.len);
	if (packet.failed)
		return err_set(err, -ENOMEM, "the arguments");
	return fd_send(launching->connection, packet.data, packet.len, fds,
		       fd_count, err);
}

/* ---- connected ------------------------------------------------------------ */

/* -ECONNREFUSED: nobody is there any more, or not yet. */
static int launching_ask(struct launching *launching,
			 const struct server_place *place, struct err *err)
{
	struct domain_wire_ready ready;
	const char *wrong;
	int fd_count = 0;
	ssize_t len;

	launching->connection = fd_connect(place->live, -1, err);
	if (launching->connection < 0)
		return -ECONNREFUSED;
	len = fd_receive(launching->connection, &ready, sizeof(ready), NULL, 0,
			 &fd_count, NULL);
	if (len <= 0) {
		fd_close(&launching->connection);
		return -ECONNREFUSED;
	}
	wrong = domain_wire_check(&ready, (size_t)len, fd_count,
				  DOMAIN_WIRE_READY);
	launching->generation = wrong ? 0 : ready.generation;
	return wrong ? err_set(err, -EPROTO, "the worker's answer: %s", wrong)
		     : 0;
}

/* A refresh or a worker's end may come between. */
static int launching_connect(struct launching *launching,
			     const struct server_place *place, struct err *err)
{
	int r = -ECONNREFUSED;

	for (int i = 0; r == -ECONNREFUSED && i < LAUNCH_TRIES; i++) {
		if (access(place->live, F_OK) < 0)
			break;
		r = launching_ask(launching, place, err);
	}
	return r;
}

static int launching_code(const struct domain_wire_ended *ended)
{
	switch (ended->how) {
	case DOMAIN_WIRE_EXIT: return ended->exit_code & 0xff;
	case DOMAIN_WIRE_TRAP: return CLI_TRAP;
	case DOMAIN_WIRE_TIMEOUT: return CLI_TIMEOUT;
	case DOMAIN_WIRE_FUEL: return CLI_FUEL;
	case DOMAIN_WIRE_NO_START: return CLI_NOT_EXECUTABLE;
	}
	return CLI_SYSTEM;
}

/* A guest's words may not steer the terminal. */
static void launching_tell(const struct launching *launching,
			   const struct domain_wire_ended *ended)
{
	auto_free char *text = strndup(ended->text, ended->text_bytes);
	char *at = text, *line;

	if (!text || !*text)
		return;
	fprintf(stderr, "brood: %s: ", launching->words[0]);
	while ((line = strsep(&at, "\n"))) {
		cli_plain(line);
		if (at || *line)
			fprintf(stderr, "%s\n", line);
	}
}

static int launching_end(const struct launching *launching, struct err *err)
{
	union {
		struct domain_wire_ended ended;
		char room[sizeof(struct domain_wire_ended) +
			  DOMAIN_WIRE_TEXT_MOST];
	} packet;
	const char *wrong = NULL;
	int fd_count = 0;
	ssize_t len = fd_receive(launching->connection, &packet, sizeof(packet),
				 NULL, 0, &fd_count, NULL);

	if (len > 0)
		wrong = domain_wire_check(&packet, (size_t)len, fd_count,
					  DOMAIN_WIRE_ENDED);
	if (len <= 0 || wrong)
		return err_set(err, -EPROTO, "%s%s",
			       wrong ? "the worker's answer: "
				     : "the worker that ran it has ended",
			       wrong ? wrong : "");
	launching_tell(launching, &packet.ended);
	return launching_code(&packet.ended);
}

/* ---- told ----------------------------------------------------------------- */

static void launching_report(const struct launching *launching,
			     const char *path)
{
	auto_buf struct buf line = { 0 };
	struct json json;

	json_start(&json, &line);
	json_open(&json, NULL);
	json_text(&json, "way", "domain");
	json_text(&json, "program", launching->words[0]);
	json_number(&json, "generation", (int64_t)launching->generation);
	json_number(&json, "pid", getpid());
	json_close(&json);
	cli_report(path, &line);
}

static void launching_tell_way(const struct launching *launching)
{
	const char *report = cli_report_path(launching->options->report);

	if (launching->options->verbose || getenv("BROOD_VERBOSE"))
		fprintf(stderr, "brood: %s: in a domain that waited\n",
			launching->words[0]);
	if (report)
		launching_report(launching, report);
}

/* ---- all of it ------------------------------------------------------------ */

/* -ECONNREFUSED: it is not served. */
static int launching_run(struct launching *launching,
			 const struct server_place *place, struct err *err)
{
	int r = launching_connect(launching, place, err);

	if (r < 0)
		return r;
	launching_tell_way(launching);
	r = launching_say(launching, err);
	/* What it says of itself is known better from its end. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return r;
	return launching_end(launching, err);
}

static int launch_not_served(const struct launch_options *options, char **words,
			     int count)
{
	struct run_options run_options = {
		.in = "domain",
		.environment = options->environment,
		.timeout_ms = options->timeout_ms,
		.report = options->report,
		.verbose = options->verbose,
	};
	struct run run = RUN_EMPTY(&run_options);

	run.words = words;
	run.word_count = count;
	return run_all(&run);
}

bool launch_in_domain(const struct launch_options *options, char **words,
		      int count, int *code)
{
	auto_server_place struct server_place place = { 0 };
	struct launching launching = { .options = options,
				       .words = words,
				       .count = count,
				       .connection = -1 };
	struct err err = { 0 };
	int r = -ECONNREFUSED;

	if (cli_find_served(words[0], &place, NULL) > 0)
		r = launching_run(&launching, &place, &err);
	fd_close(&launching.connection);
	if (r >= 0) {
		*code = r;
	} else if (r != -ECONNREFUSED) {
		fprintf(stderr, "brood: %s: %s\n", words[0], err.text);
		*code = CLI_SYSTEM;
	} else if (options->in && strcmp(options->in, "domain") == 0) {
		*code = launch_not_served(options, words, count);
	} else if (options->environment.count || options->timeout_ms) {
		*code = cli_wrong("--env and --timeout are for what runs in a "
				  "domain, and %s is not served; see \"brood "
				  "serve --in domain\"",
				  words[0]);
	} else {
		return false;
	}
	return true;
}
