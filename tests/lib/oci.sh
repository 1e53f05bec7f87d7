# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For tests of brood-oci, sourced behind func.sh: modules, bundles, and what is
# left behind.  All that is made is below the test's folder.
OCI=$BUILD/brood-oci
# used by those that source it
# shellcheck disable=SC2034
root=$folder/oci-root
export BROOD_CACHE=$folder/code BROOD_SYSTEM_CACHE=$folder/none
unset BROOD_OCI_RUNTIME
# Engines hand on a home, and none of these.
unset BROOD_IMAGES XDG_DATA_HOME

skip_all() { # WHY
	echo "ok 1 - all # SKIP $1"
	echo "1..1"
	exit 0
}

[ "$(id -u)" = 0 ] || skip_all "not root"
# What is mounted into containers has no libraries there.
if readelf -lW "$BROOD" | grep -q INTERP; then
	skip_all "brood is not static in this build"
fi

module() { # NAME: from its text on stdin
	cat >"$1.wat"
	"$BROOD" wasm from-text "$1.wat" -o "$1.wasm" || exit 1
}

# "Hello, ARGUMENT!" on stdout.
cp "$here/../../examples/hello.wat" "$folder/hello-text"
module hello <"$folder/hello-text"
# Ends with 7.
module seven <<'END'
(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 7))))
END
module trap <<'END'
(module (func (export "_start") unreachable))
END
module starts <<'END'
(module (func $first) (start $first) (func (export "_start")))
END
module forever <<'END'
(module (func (export "_start") (loop (br 0))))
END
# Standard input to standard output.
module copy <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 65536))
      (br_if 1 (call $read (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.const 8)))
      (br_if 1 (i32.eqz (i32.load (i32.const 8))))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
        (i32.const 12)))
      (br 0))))
END
# The variables, each with a 0 behind it.
module variables <<'END'
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get"
    (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 64) (i32.const 8192)))
    (i32.store (i32.const 16) (i32.const 8192))
    (i32.store (i32.const 20) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1)
      (i32.const 24)))))
END

# A bundle $folder/NAME whose process has these words; MODULES are in its root.
bundle() { # NAME WORD...
	local name=$1
	shift
	rm -rf "${folder:?}/$name"
	mkdir -p "$folder/$name/rootfs"
	cp "$folder"/*.wasm "$folder/$name/rootfs/"
	(cd "$folder/$name" && runc spec) || exit 1
	change "$name" "c['process'].update(terminal=False, args=$(words "$@"))
for m in ('rlimits',): c['process'].pop(m, None)"
}

words() { # WORD...: as a list of Python's
	python3 -c 'import sys; print(repr(sys.argv[1:]))' "$@"
}

change() { # NAME CODE: c is the config
	python3 - "$folder/$1/config.json" "$2" <<'END'
import json, sys
with open(sys.argv[1]) as f:
    c = json.load(f)
exec(sys.argv[2])
with open(sys.argv[1], "w") as f:
    json.dump(c, f)
END
}

oci() { # WORD...; the status is in $status
	timeout 60 "$OCI" --root "$root" "$@" >out 2>err </dev/null
	status=$?
}

# A file that nobody may write is written: CODE, which is one of the ways, has it
# as f, of "size" bytes.
ways=('f.truncate(size // 2)' 'f.truncate(0)' 'flip(40)' 'flip(size - 1)')
damage() { # FILE CODE
	python3 - "$1" "$2" <<'END'
import os, sys
def flip(at):
    f.seek(at)
    byte = f.read(1)[0]
    f.seek(at)
    f.write(bytes([byte ^ 64]))
os.chmod(sys.argv[1], 0o600)
with open(sys.argv[1], "r+b") as f:
    size = os.path.getsize(sys.argv[1])
    exec(sys.argv[2])
os.chmod(sys.argv[1], 0o444)
END
}

# No container, and nothing of ours but the lock.
nothing_left() {
	[ -z "$(find "$root" "$root.brood" -mindepth 1 ! -name .lock 2>/dev/null)" ] &&
		! grep -q "$folder" /proc/mounts
}

stopped() { # ID: waits until it is
	local i
	for i in $(seq 100); do
		"$OCI" --root "$root" state "$1" 2>&1 | grep -q '"stopped"' && return
		sleep 0.1
	done
	return 1
}

# A runtime that keeps a folder for each container, and no more: so each step of
# ours can be killed.
fake_runtime() { # as $folder/fake
	echo '#!/bin/sh' >"$folder/fake"
	cat >>"$folder/fake" <<'END'
[ "$1" = --root ] && root=$2 && shift 2
[ "$1" = --log ] && shift 2
command=$1
for id; do :; done
case $command in
create) mkdir -p "$root" && mkdir "$root/$id" ;;
state) [ -d "$root/$id" ] && echo '{"pid":0,"bundle":"x"}' ;;
delete) rmdir "$root/$id" 2>/dev/null || [ "$2" = --force ] ;;
esac
END
	chmod +x "$folder/fake"
}

faked() { # WORD...: as oci, with that runtime
	BROOD_OCI_RUNTIME=$folder/fake oci "$@"
}

# A command of ours, with that runtime, is killed at each step by which it would
# change something.  BEFORE comes before each; AFTER has to hold behind each.
# $steps: how many there were, or the first where it did not.
killed() { # BEFORE AFTER WORD...
	steps=0
	while :; do
		"$1"
		BROOD_OCI_RUNTIME=$folder/fake timeout 60 "$BUILD/tests/programs/kill_at" \
			$((steps + 1)) told-n "$OCI" --root "$root" "${@:3}" >out 2>err </dev/null
		[ $? = 99 ] || return 0
		steps=$((steps + 1))
		"$2" || return
	done
}

end_containers() {
	local id
	for id in "$root"/* "$root.brood"/*; do
		[ -e "$id" ] && "$OCI" --root "$root" delete --force "${id##*/}" \
			>/dev/null 2>&1
	done
}
trap 'end_containers; rm -rf "$folder"' EXIT
