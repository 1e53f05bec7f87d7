/* SPDX-License-Identifier: Apache-2.0 */
/* The lease of a share (src/share/lock_lease.c and chain.c), for spin.
 *
 * What may go on at once: takers that sleep between any two calls for as long
 * as they like (all orders are tried), a holder that dies, a holder that
 * sleeps and is broken and then commits, hints that lead anywhere, trimming
 * by several at once, each of which may die between two calls.
 *
 * What has to hold:
 *	an epoch is taken once at most, and never below one that was taken
 *	of holders that were not broken there is one at most
 *	no commit is lost, whoever slept
 *	with -DLIVE: a dead holder is broken in the end
 *
 * With -DBROKEN=N the model lacks something, and spin has to find out:
 *	1	who added an epoch does not look for its predecessor
 *	2	trimming begins at the top
 *	3	a commit is no compare-and-swap
 *	4	a release is a rename, which brings back what was trimmed
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef TAKERS
#define TAKERS 3
#endif
#ifndef EPOCHS
#define EPOCHS 5 /* numbers that there are; then nobody goes on */
#endif
#define KEPT 2

/* A name leads to a file, 0 to none.  States and holders belong to files: who
 * has one open writes into it, whether it has a name or not. */
#define FILES (2 * EPOCHS + 2)
byte name[EPOCHS + 3];
byte files = 1; /* made so far */
bool held[FILES + 1];
bool slow[FILES + 1]; /* who made it does not stir: it may be broken */

bool ever[EPOCHS + 3]; /* was this epoch there before? */
bool taken[EPOCHS + 3];
byte version, commits; /* what is guarded */
byte holders;	       /* that stir */
bool died, followed;

inline list_last(to)
{
	to = EPOCHS + 1;
	do
	:: name[to] == 0 && to > 0 -> to--
	:: else -> break
	od
}

/* One call each: those in between are other hosts'. */
proctype taker()
{
	byte n, file, before, base, k, most;
	bool late, was_held;

again:
	/* Any number is where a look may begin: the chain is climbed from
	 * there, so only the last two looks matter: n + 1 is not there, then
	 * n is. */
	atomic {
		late = false; file = 0; before = 0; base = 0; k = 0; most = 0;
		was_held = false;
#ifdef LIVE
		list_last(n);
#else
		select(n : 1 .. EPOCHS);
#endif
		if
		:: n == EPOCHS || files == FILES -> goto over
		:: else -> skip
		fi
	}
	atomic {
		if
		:: name[n + 1] != 0 -> goto again
		:: else -> skip
		fi
	}
	atomic {
		before = name[n];
		if
		:: before == 0 -> goto again
		:: else -> was_held = held[before]
		fi
	}
	if
	:: was_held ->
		/* It did not stir for the TTL. */
		atomic {
			if
			:: slow[before] && held[before] -> skip
			:: else -> goto again
			fi
		}
		/* Nothing above it in the folder. */
		atomic {
			list_last(most);
			if
			:: most > n -> goto again
			:: else -> most = 0
			fi
		}
	:: else -> skip
	fi;
	/* link(2) */
	atomic {
		if
		:: name[n + 1] != 0 || files == FILES -> goto again
		:: else ->
			files++;
			file = files;
			name[n + 1] = file;
			held[file] = true;
			late = ever[n + 1];
			ever[n + 1] = true
		fi
	}
	/* Falls asleep here, and may be broken before it begins. */
	if
	:: slow[file] = true
	:: skip
	fi;
	/* The very file that was seen before is there still? */
	atomic {
#if BROKEN != 1
		if
		:: name[n] != before -> name[n + 1] = 0; goto again
		:: else -> skip
		fi;
#endif
		assert(!late);
		assert(!taken[n + 1]);
		taken[n + 1] = true;
		base = version;
		followed = died;
		if
		:: !slow[file] -> holders++
		:: else -> skip
		fi;
		assert(holders <= 1)
	}
	/* Trimming: down to a number that is not there, and up from it. */
	k = (n + 1 > KEPT -> n + 1 - KEPT : 0);
#if BROKEN == 2
	do
	:: k > 0 -> atomic { name[k] = 0; k-- }
	:: else -> break
	od;
#else
	do
	:: atomic { name[k] != 0 && k > 0 -> k-- }
	:: else -> break
	od;
	k++;
	do
	:: atomic { k + KEPT <= n + 1 -> name[k] = 0; k++ }
	:: else -> break
	od;
#endif
	/* Works: or dies (one of them, before it was broken), or falls asleep
	 * and may be broken. */
	if
	:: atomic {
		!died && n + 1 < EPOCHS && !ever[n + 2] ->
		died = true;
		if
		:: !slow[file] -> holders--
		:: else -> skip
		fi;
		slow[file] = true;
		goto over
	   }
#ifndef LIVE
	:: atomic { !slow[file] -> slow[file] = true; holders-- }
#endif
	:: skip
	fi;
	/* Commits: adds version base + 1. */
	atomic {
#if BROKEN == 3
		version = base + 1;
		commits++;
#else
		if
		:: version == base -> version++; commits++
		:: else -> skip
		fi;
#endif
		assert(commits == version);
	}
	/* Releases: in place, into the file and not into its name. */
	atomic {
#if BROKEN == 4
		name[n + 1] = file;
#endif
		held[file] = false;
		if
		:: !slow[file] -> holders--
		:: else -> skip
		fi
	}
	goto again;
over:
	skip
}

init {
	byte i;

	atomic {
		name[1] = 1;
		ever[1] = true;
		for (i : 1 .. TAKERS) { run taker() }
	}
}

#ifdef LIVE
ltl follows { [] (died -> <> followed) }
#endif
