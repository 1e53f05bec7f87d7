/* SPDX-License-Identifier: Apache-2.0 */
/* A program whose constructor starts threads: one joinable, whose id is
 * kept, one detached with a name, and one that an atfork handler starts
 * again in every child, as QEMU's RCU does.  main talks to all of them. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static sem_t asked, answered;
static pthread_t worker;
static int answers, again_runs, named_runs, mask_kept;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *unused)
{
	sem_wait(&asked);
	answers++;
	sem_post(&answered);
	return unused;
}

static void *named(void *unused)
{
	char name[16] = "";

	sem_wait(&asked);
	pthread_getname_np(pthread_self(), name, sizeof name);
	pthread_mutex_lock(&lock);
	named_runs += strcmp(name, "named") == 0 ? 1 : 100;
	pthread_mutex_unlock(&lock);
	sem_post(&answered);
	return unused;
}

static void *again(void *unused)
{
	sigset_t blocked;

	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	pthread_mutex_lock(&lock);
	again_runs++;
	mask_kept = sigismember(&blocked, SIGUSR2);
	pthread_mutex_unlock(&lock);
	sem_post(&answered);
	return unused;
}

static void start_again(void)
{
	pthread_t thread;
	pthread_attr_t attr;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_create(&thread, &attr, again, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void __attribute__((constructor)) start_threads(void)
{
	pthread_t thread;

	sem_init(&asked, 0, 0);
	sem_init(&answered, 0, 0);
	pthread_create(&worker, NULL, work, &answers);
	pthread_create(&thread, NULL, named, NULL);
	pthread_setname_np(thread, "named");
	pthread_detach(thread);
	start_again();
	pthread_atfork(NULL, NULL, start_again);
}

int main(void)
{
	void *result = NULL;

	sem_post(&asked);
	sem_post(&asked);
	for (int i = 0; i < 3; i++)
		sem_wait(&answered);
	if (pthread_join(worker, &result) != 0)
		puts("the worker cannot be joined");
	pthread_mutex_lock(&lock);
	printf("answers %d again %d mask %d named %d result %s\n", answers,
	       again_runs, mask_kept, named_runs,
	       result == &answers ? "right" : "wrong");
	pthread_mutex_unlock(&lock);
	return 0;
}
