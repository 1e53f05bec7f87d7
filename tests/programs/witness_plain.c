/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor does what does no harm: libraries do it all the time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static int is_random, is_terminal;

static void on_signal(int number)
{
	(void)number;
	puts("heard");
}

static void __attribute__((constructor)) before(void)
{
	char bytes[4];
	struct termios attributes;

	is_random = getrandom(bytes, sizeof bytes, 0) == 4;
	is_terminal = ioctl(0, TCGETS, &attributes) == 0;
	signal(SIGUSR1, on_signal);
	free(malloc(300000));
}

int main(void)
{
	printf("%d %d\n", is_random, is_terminal);
	fflush(stdout);
	raise(SIGUSR1);
	return 0;
}
