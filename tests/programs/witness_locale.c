/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor takes locale and time zone over from the environment,
 * inside libc. */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <time.h>

static void __attribute__((constructor)) before(void)
{
	time_t now = 0;
	struct tm local;

	setlocale(LC_ALL, "");
	localtime_r(&now, &local);
}

int main(void)
{
	struct lconv *numbers = localeconv();
	time_t now = 0;
	struct tm local;

	localtime_r(&now, &local);
	printf("%s %s %s %ld\n", setlocale(LC_ALL, NULL), nl_langinfo(CODESET),
	       numbers->decimal_point, local.tm_gmtoff);
	return 0;
}
