/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime that is killed while it makes a container may leave the empty
 * group of it: of what it does not know afterwards, it does not remove it. */
#pragma once

/* The group that the container of this config.json has, in each hierarchy,
 * where it is empty and its name is one of this ID's.  Those of systemd are
 * systemd's matter. */
void oci_cgroup_remove(const char *config, const char *id);
