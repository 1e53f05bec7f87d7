/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware addresses of the network devices: those with a device behind
 * them, in the order in which the kernel has found them. */
#include "agent/agent.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/sockios.h>
#include <string.h>

#define ADDRESS_FOLDER "/sys/class/net/"

enum { ADDRESS_DEVICES = 16, ADDRESS_INET = 2, ADDRESS_DATAGRAM = 2 };

struct address_entry { /* of getdents64 */
	uint64_t ino, off;
	uint16_t len;
	uint8_t type;
	char name[];
};

struct address_device {
	uint64_t index;
	char name[IFNAMSIZ];
};

struct address_list {
	uint32_t count;
	struct address_device device[ADDRESS_DEVICES];
};

static void address_path(char *room, size_t size, const char *name,
			 const char *file)
{
	struct words path = { room, room + size };

	words_add(&path, ADDRESS_FOLDER);
	words_add(&path, name);
	words_add(&path, "/");
	words_add(&path, file);
}

/* A number in a file of a device's folder, 0 if there is none. */
static uint64_t address_number(const char *name, const char *file)
{
	char path[sizeof ADDRESS_FOLDER + IFNAMSIZ + 16], text[24];
	uint64_t number = 0;
	long fd, len;

	address_path(path, sizeof path, name, file);
	fd = raw_4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	len = raw_3(read, fd, text, sizeof text);
	raw_1(close, fd);
	for (long i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		number = number * 10 + (text[i] - '0');
	return number;
}

static bool address_is_real(const char *name)
{
	char path[sizeof ADDRESS_FOLDER + IFNAMSIZ + 16];

	if (name[0] == '.' || strlen(name) >= IFNAMSIZ)
		return false;
	address_path(path, sizeof path, name, "device");
	return raw_3(faccessat, AT_FDCWD, path, 0) == 0 &&
	       address_number(name, "type") == ARPHRD_ETHER;
}

/* Kept in the order of the indices. */
static void address_take(struct address_list *list, const char *name)
{
	uint64_t index = address_number(name, "ifindex");
	uint32_t at = list->count;

	if (list->count == ADDRESS_DEVICES)
		return;
	for (; at > 0 && list->device[at - 1].index > index; at--)
		list->device[at] = list->device[at - 1];
	list->device[at].index = index;
	memcpy(list->device[at].name, name, strlen(name) + 1);
	list->count++;
}

static void address_list(struct address_list *list)
{
	_Alignas(8) char entries[2048];
	long len = 0, fd;

	list->count = 0;
	fd = raw_4(openat, AT_FDCWD, ADDRESS_FOLDER,
		   O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	while ((len = raw_3(getdents64, fd, entries, sizeof entries)) > 0)
		for (long at = 0; at < len;) {
			const struct address_entry *entry =
				(const void *)(entries + at);

			if (address_is_real(entry->name))
				address_take(list, entry->name);
			at += entry->len;
		}
	raw_1(close, fd);
}

static void address_request(struct ifreq *request,
			    const struct address_device *device)
{
	memset(request, 0, sizeof *request);
	memcpy(request->ifr_name, device->name, IFNAMSIZ);
}

/* Most drivers change an address only of a device that is down. */
static long address_set_one(int socket, const struct address_device *device,
			    const uint8_t mac[6])
{
	struct ifreq flags, address;
	bool up;
	long r;

	address_request(&flags, device);
	address_request(&address, device);
	r = raw_3(ioctl, socket, SIOCGIFFLAGS, &flags);
	if (r < 0)
		return r;
	up = flags.ifr_flags & IFF_UP;
	flags.ifr_flags &= ~IFF_UP;
	if (up)
		raw_3(ioctl, socket, SIOCSIFFLAGS, &flags);
	address.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(address.ifr_hwaddr.sa_data, mac, 6);
	r = raw_3(ioctl, socket, SIOCSIFHWADDR, &address);
	flags.ifr_flags |= IFF_UP;
	if (up)
		raw_3(ioctl, socket, SIOCSIFFLAGS, &flags);
	return r;
}

bool address_set(const uint8_t mac[][6], uint32_t count, struct words *why)
{
	struct address_list list;
	long socket, r = 0;
	uint32_t i;

	address_list(&list);
	socket = raw_3(socket, ADDRESS_INET, ADDRESS_DATAGRAM | O_CLOEXEC, 0);
	if (socket < 0) {
		words_add(why, "socket: ");
		words_error(why, socket);
		return false;
	}
	for (i = 0; i < count && i < list.count && r >= 0; i++)
		r = address_set_one(socket, &list.device[i], mac[i]);
	raw_1(close, socket);
	if (r < 0) {
		words_add(why, "address of ");
		words_add(why, list.device[i - 1].name);
		words_add(why, ": ");
		words_error(why, r);
	} else if (list.count < count) {
		words_add(why, "network devices: ");
		words_number(why, list.count);
	}
	return r >= 0 && list.count >= count;
}
