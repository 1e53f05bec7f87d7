#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The C API: the example is compiled as a user would, and its instances are
# children of the caller with the program's own output and status.
# timeout: 180
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$here/../../build}" && pwd)
BROOD=${BROOD:-$BUILD/brood}
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-api.XXXXXX") || exit 1
export HOME=$folder/home XDG_CACHE_HOME=$folder/cache
export XDG_RUNTIME_DIR=$folder/run XDG_DATA_HOME=$folder/data
export BROOD_SHIM_PATH=$BUILD
mkdir -m 700 "$HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR" "$XDG_DATA_HOME"
trap 'timeout 30 "$BROOD" stop --all; rm -rf "$folder"' EXIT
count=0 failed=0

ok() { # STATUS WORDS
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		sed 's/^/# /' "$folder/out" "$folder/err" | head -20
	fi
}

sanitize=
nm "$BUILD/libbrood.a" 2>/dev/null | grep -q __asan_ &&
	sanitize=-fsanitize=address,undefined
compile() { # SOURCE TARGET
	# shellcheck disable=SC2086
	"${CC:-cc}" -D_GNU_SOURCE -Wall -Wextra -Werror $sanitize -I"$here/../../include" \
		"$1" -o "$2" "$BUILD/libbrood.a" -lpthread \
		>"$folder/out" 2>"$folder/err"
}

compile "$here/../../examples/start.c" "$folder/start"
ok $? "the example compiles against brood.h and libbrood.a alone"

cat >"$folder/calls.c" <<'C'
#include <brood/brood.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#define SEE(condition)                                            \
	do {                                                      \
		if (!(condition)) {                               \
			printf("%s\n", #condition);               \
			return 1;                                 \
		}                                                 \
	} while (0)
int main(int argc, char **argv)
{
	char *echo[] = { "echo", "from", "brood", NULL };
	char *none[] = { "none", NULL };
	char *env[] = { "ONLY=this", NULL };
	char *show[] = { "env", NULL };
	struct brood_error error;
	char text[64] = "";
	int pipes[2], status;
	pid_t pid;

	SEE(argc == 1 && argv[0]);
	SEE(strcmp(brood_version(), "0.1.0") == 0);
	SEE(!brood_ready);
	SEE(brood_launch(&(struct brood_launch){ .program = "/no/such",
						 .argv = none },
			 &error) == -ENOENT);
	SEE(error.code == -ENOENT && strstr(error.text, "/no/such"));
	SEE(brood_launch(&(struct brood_launch){ .program = "echo" }, NULL) ==
	    -EINVAL);
	SEE(brood_serve("echo", &(struct brood_serve){ .size = 4 }, &error) ==
	    -EINVAL);
	SEE(brood_serve("echo",
			&(struct brood_serve){ .size = sizeof(struct brood_serve),
					       .until = "nowhere" },
			&error) == -EINVAL);
	SEE(brood_refresh("echo", &error) == -ESRCH);
	SEE(brood_stop("echo", &error) == 0);

	SEE(pipe2(pipes, O_CLOEXEC) == 0);
	pid = brood_launch(&(struct brood_launch){ .program = "echo",
						   .argv = echo,
						   .stdio = { 0, pipes[1], 2 } },
			   &error);
	SEE(pid > 0);
	close(pipes[1]);
	SEE(waitpid(pid, &status, 0) == pid && status == 0);
	SEE(read(pipes[0], text, 63) > 0 && !strcmp(text, "from brood\n"));

	SEE(pipe2(pipes, O_CLOEXEC) == 0);
	pid = brood_launch(&(struct brood_launch){ .program = "/usr/bin/env",
						   .argv = show,
						   .envp = env,
						   .cwd = "/",
						   .stdio = { 0, pipes[1], 2 } },
			   &error);
	SEE(pid > 0);
	close(pipes[1]);
	SEE(waitpid(pid, &status, 0) == pid && status == 0);
	memset(text, 0, sizeof(text));
	SEE(read(pipes[0], text, 63) > 0 && !strcmp(text, "ONLY=this\n"));
	return 0;
}
C
compile "$folder/calls.c" "$folder/calls"
ok $? "a program of the API's calls compiles"
timeout 60 "$folder/calls" >"$folder/out" 2>"$folder/err"
ok $? "calls, errors, stdio, environment"

program=$(command -v ld.bfd || command -v ld || command -v grep)
"$program" --version >"$folder/cold" 2>&1
timeout 60 "$folder/start" "$program" --version >"$folder/out" 2>"$folder/err"
status=$?
cat "$folder/cold" "$folder/cold" "$folder/cold" >"$folder/three"
[ $status = 0 ] && cmp -s "$folder/three" "$folder/out" &&
	[ "$(grep -c 'exit 0' "$folder/err")" = 3 ]
ok $? "the example starts $program three ways with the same output"
sed 's/^/# /' "$folder/err"

"${CC:-cc}" -shared -o "$folder/libbrood.so" -Wl,--whole-archive \
	"$BUILD/libbrood.a" -Wl,--no-whole-archive ${sanitize:+$sanitize} \
	-Wl,--version-script="$here/../../src/lib/libbrood.map" \
	>"$folder/out" 2>"$folder/err" &&
	nm -D --defined-only "$folder/libbrood.so" >"$folder/out" &&
	! grep ' [TDB] ' "$folder/out" | grep -v ' brood_' |
		grep -v ' T wasm_' &&
	grep -q ' T brood_launch' "$folder/out"
ok $? "as a shared library it gives brood_* and the API of wasm.h alone"
echo "1..$count"
[ $failed = 0 ]
