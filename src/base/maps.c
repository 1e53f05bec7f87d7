/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/maps as a table.  The text may be anything: the parser believes
 * no length and no order. */
#include "base/maps.h"
#include "base/fd.h"
#include "base/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

enum { MAPS_TEXT_MOST = 64 << 20 };

/* Reads digits of a base up to the given stop character. */
static bool maps_number(char **at, int base, char stop, uint64_t *value)
{
	char *p = *at;
	uint64_t sum = 0;
	int digits = 0;

	for (;; p++, digits++) {
		unsigned char c = *p;
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
						   : 99;

		if (digit >= base)
			break;
		if (sum > (UINT64_MAX - digit) / base)
			return false;
		sum = sum * base + digit;
	}
	if (!digits || *p != stop)
		return false;
	*at = p + 1;
	*value = sum;
	return true;
}

static bool maps_rights(char **at, struct map *map)
{
	char *p = *at;

	for (int i = 0; i < 4; i++)
		if (!p[i] || !strchr("rwxps-", p[i]))
			return false;
	if (p[4] != ' ')
		return false;
	map->prot = (p[0] == 'r' ? PROT_READ : 0) |
		    (p[1] == 'w' ? PROT_WRITE : 0) |
		    (p[2] == 'x' ? PROT_EXEC : 0);
	map->shared = p[3] == 's';
	*at = p + 5;
	return true;
}

static void maps_name(char *p, struct map *map)
{
	static const char gone[] = " (deleted)";
	size_t len;

	while (*p == ' ')
		p++;
	len = strlen(p);
	map->name = p;
	if (len >= sizeof gone - 1 && p[0] == '/' &&
	    strcmp(p + len - (sizeof gone - 1), gone) == 0) {
		map->deleted = true;
		p[len - (sizeof gone - 1)] = 0;
	}
}

/* One line, ended by a 0 byte. */
static bool maps_line(char *line, struct map *map)
{
	uint64_t major, minor;

	*map = (struct map){ 0 };
	if (!maps_number(&line, 16, '-', &map->start) ||
	    !maps_number(&line, 16, ' ', &map->end) ||
	    !maps_rights(&line, map) ||
	    !maps_number(&line, 16, ' ', &map->offset) ||
	    !maps_number(&line, 16, ':', &major) ||
	    !maps_number(&line, 16, ' ', &minor))
		return false;
	if (major > UINT32_MAX || minor > UINT32_MAX || map->end <= map->start)
		return false;
	map->dev = makedev(major, minor);
	/* the inode is followed by blanks and a name, or by the line's end */
	char *after = line + strspn(line, "0123456789");

	if (after == line || (*after && *after != ' '))
		return false;
	if (*after)
		*after++ = ' ';
	map->ino = strtoull(line, NULL, 10);
	maps_name(after, map);
	return true;
}

int maps_parse(const char *text, size_t len, struct maps *maps, struct err *err)
{
	size_t lines = 0;

	*maps = (struct maps){ 0 };
	maps->text = malloc(len + 1);
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	maps->map = calloc(lines + 1, sizeof *maps->map);
	if (!maps->text || !maps->map) {
		maps_fini(maps);
		return err_set(err, -ENOMEM, "read maps");
	}
	memcpy(maps->text, text, len);
	maps->text[len] = 0;
	for (char *line = maps->text, *end = line + len; line < end;) {
		char *next = memchr(line, '\n', end - line);

		if (next)
			*next = 0;
		if (!maps_line(line, &maps->map[maps->count])) {
			maps_fini(maps);
			return err_set(err, -EPROTO,
				       "maps: a line that is not one");
		}
		maps->count++;
		if (!next)
			break;
		line = next + 1;
	}
	return 0;
}

int maps_read(pid_t pid, struct maps *maps, struct err *err)
{
	auto_buf struct buf text = { 0 };
	char path[64];
	int r;

	*maps = (struct maps){ 0 };
	snprintf(path, sizeof path, pid ? "/proc/%d/maps" : "/proc/self/maps",
		 pid);
	r = file_read(path, &text, MAPS_TEXT_MOST, err);
	if (r < 0)
		return r;
	return maps_parse(buf_string(&text), text.len, maps, err);
}

void maps_fini(struct maps *maps)
{
	free(maps->map);
	free(maps->text);
	*maps = (struct maps){ 0 };
}

const struct map *maps_find(const struct maps *maps, uint64_t addr)
{
	for (size_t i = 0; i < maps->count; i++)
		if (addr >= maps->map[i].start && addr < maps->map[i].end)
			return &maps->map[i];
	return NULL;
}

static uint64_t maps_sum(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

int maps_memory(pid_t pid, struct maps_memory *memory, struct err *err)
{
	auto_buf struct buf text = { 0 };
	char path[64];
	int r;

	*memory = (struct maps_memory){ 0 };
	snprintf(path, sizeof path,
		 pid ? "/proc/%d/smaps_rollup" : "/proc/self/smaps_rollup",
		 pid);
	r = file_read(path, &text, 1 << 16, err);
	if (r < 0)
		return r;
	memory->rss = maps_sum(buf_string(&text), "\nRss:");
	memory->pss = maps_sum(buf_string(&text), "\nPss:");
	memory->shared = maps_sum(buf_string(&text), "\nShared_Clean:") +
			 maps_sum(buf_string(&text), "\nShared_Dirty:");
	memory->private_clean = maps_sum(buf_string(&text), "\nPrivate_Clean:");
	memory->private_dirty = maps_sum(buf_string(&text), "\nPrivate_Dirty:");
	return 0;
}
