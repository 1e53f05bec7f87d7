/* SPDX-License-Identifier: Apache-2.0 */
/* What this node can start warm, as it is now. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "cli/listing.h"
#include "domain/kvm_facts.h"
#include <stdbool.h>
#include <stdint.h>

struct node {
	struct listing templates;
	struct node_code {
		int64_t objects, bytes, users, compiling;
		int64_t unusable; /* of another build or CPU, or damaged */
		int64_t functions, optimised;
	} code; /* the user's folder and the system's */
	struct node_images {
		int64_t tips, wrong;
	} images;
	struct node_apps {
		int64_t shared, independent, damaged;
	} apps;
	struct kvm_facts kvm;
};

/* What cannot be looked at is an error; what is not there is none of it. */
int node_look(struct node *node, struct err *err);
void node_fini(struct node *node);
#define auto_node __attribute__((cleanup(node_fini)))
void node_json(const struct node *node, struct buf *out);
void node_table(const struct node *node, struct buf *out);
/* The text format of Prometheus. */
void node_metrics(const struct node *node, struct buf *out);

/* node_serve.c: answers GET /metrics and GET /node on a listening socket, made
 * by --listen or handed in by systemd, until a signal ends it. */
int node_serve(const char *word, struct err *err);
