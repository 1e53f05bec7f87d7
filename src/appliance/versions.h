/* SPDX-License-Identifier: Apache-2.0 */
/* What a share has of an application: payloads by their digest, and records
 * by their number.
 *
 *	payloads/HEX.erofs	an image, 0444
 *	apps/NAME/v.<N>		a record (record.h); the highest number counts
 *	hosts/HOST/HEX		a host uses that payload; its time tells when
 *
 * Everything that changes it is done under the lock, and is such that it does
 * no harm if the lock was lost: files appear whole under their names, and a
 * version is added as the number behind the one that was looked at. */
#pragma once
#include "appliance/payload.h"
#include "appliance/record.h"
#include "base/buf.h"
#include "base/err.h"
#include "share/share.h"
#include <stdint.h>

/* The share at path, if it is the one with that id (NULL: any); words: what a
 * holder of its lock says of itself. */
int versions_open(const char *path, const char *id, const char *host,
		  const char *local, const char *words, struct share *share,
		  struct err *err);
/* The record that counts; *number 0: there is none. */
int versions_last(const struct share *share, const char *name, struct buf *text,
		  uint64_t *number, struct err *err);
int versions_get(const struct share *share, const char *name, uint64_t number,
		 struct buf *text, struct err *err);
/* -EEXIST, -ESTALE: another host was first. */
int versions_add(const struct share *share, const char *name, uint64_t number,
		 const struct buf *text, struct err *err);
char *versions_payload(const struct share *share, const char *hex,
		       struct err *err); /* malloced path */
/* Copies an image of that digest.  One that is there and right stays: 1; one
 * that is damaged is replaced.  stamp: as for payload_verify. */
int versions_publish(const struct share *share, int image, const char *hex,
		     uint64_t bytes, const char *stamp, payload_tick *tick,
		     void *context, struct err *err);
/* This host uses that payload from now on. */
int versions_use(const struct share *share, const char *hex, struct err *err);
void versions_leave(const struct share *share, const char *hex);
