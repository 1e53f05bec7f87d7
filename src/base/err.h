/* SPDX-License-Identifier: Apache-2.0 */
/* One failure, told in one line.  A struct err has a fixed size and no
 * allocation, so that it survives a clone and travels over a socket.
 * Functions return >= 0 when fine and a negative errno when not, and take
 * the struct as their last parameter; it may be NULL.
 *
 *	return err_set(err, -errno, "open %s", path);	"open /x: No such file"
 *	return err_wrap(err, "map layer %d", i);	"map layer 3: open ..."
 */
#pragma once

struct err {
	int code; /* negative errno, 0 when nothing failed */
	char text[252];
};

/* Both return the code, so that they can stand behind "return".  err_set
 * appends strerror(code) unless code is -EINVAL/-EPROTO/-EBADMSG: there the
 * words alone say it. */
int err_set(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int err_wrap(struct err *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void err_clear(struct err *err);
