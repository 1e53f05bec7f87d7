/* SPDX-License-Identifier: Apache-2.0 */
/* The programs that --start names, for a domain's children. */
#pragma once
#include "cli/run.h"
#include "domain/children.h"

struct run_children;
/* NULL where there are none. */
int run_children_open(struct run_children **children, struct run *run,
		      struct err *err);
void run_children_close(struct run_children *children);
void run_children_serve(struct run_children *children, struct domain *domain);
