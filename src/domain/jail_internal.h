/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of the jail.  Each says in told->walls what stands after it. */
#pragma once
#include "domain/jail.h"
#include <linux/filter.h>

void jail_missed(struct jail_told *told, int code);
/* Those of "spaces" that can be had. */
void jail_spaces(uint32_t spaces, struct jail_told *told);
void jail_root(struct jail_told *told);
int jail_close_others(const struct jail_options *options,
		      struct jail_told *told, struct err *err);
int jail_no_new_privs(struct jail_told *told, struct err *err);
void jail_files(const struct jail_options *options, struct jail_told *told);

int jail_no_caps(struct jail_told *told, struct err *err);
int jail_limits(const struct jail_options *options, struct jail_told *told,
		struct err *err);
int jail_hide(struct jail_told *told, struct err *err);

enum { JAIL_CODE = 1024 };
/* The filter's instructions; their number. */
size_t jail_filter_make(const struct jail_options *options,
			struct sock_filter code[JAIL_CODE]);
int jail_filter(const struct jail_options *options, struct jail_told *told,
		struct err *err);
