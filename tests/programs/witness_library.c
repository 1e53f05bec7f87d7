/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor loads two libraries by their names. */
#include <dlfcn.h>
#include <stdio.h>

static const char *(*greeting)(void);

static void __attribute__((constructor)) before(void)
{
	void *library = dlopen("libfirst.so", RTLD_NOW);

	if (library)
		library = dlopen("libgreeting.so", RTLD_NOW);
	if (library)
		*(void **)&greeting = dlsym(library, "greeting");
}

int main(void)
{
	printf("%s\n", greeting ? greeting() : "none");
	return 0;
}
