/* SPDX-License-Identifier: Apache-2.0 */
/* Things given other names. */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	make_file("/a", "a");
	make_file("/b", "b");
	mkdir("/full", 0755);
	make_file("/full/x", "x");
	mkdir("/empty", 0755);
	TELL(rename("/a", "/c"));
	show_file("/a");
	show_file("/c");
	TELL(rename("/c", "/b"));
	show_file("/b");
	TELL(rename("/b", "/b"));
	TELL(rename("/none", "/b"));
	TELL(rename("/b", "/full"));
	TELL(rename("/full", "/b"));
	TELL(rename("/empty", "/full"));
	TELL(rename("/full", "/empty"));
	show_file("/empty/x");
	TELL(rename("/empty/", "/moved/"));
	show_file("/moved/x");
	TELL(rename("/moved", "/moved/inner"));
	TELL(rename("/b", "/b/"));
	TELL(rename("/b", "/moved/b"));
	show_file("/moved/b");
	TELL(rename("/moved/b", "/nowhere/b"));
	return 0;
}
