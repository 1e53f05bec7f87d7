#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What runs inside the machine of tests/func/floor.sh; lines that begin with
# "== " tell tests/func/floor.sh what follows.
cd "$TREE" || exit
ulimit -c 0
echo "== doctor"
timeout 60 "$BUILD/brood" doctor
echo "== status $?"
echo "== user"
setpriv --reuid 65534 --regid 65534 --clear-groups \
	env HOME=/tmp/nobody XDG_RUNTIME_DIR=/tmp timeout 60 "$BUILD/brood" doctor
echo "== status $?"
echo "== hello"
timeout 60 "$BUILD/brood" run examples/hello.wat World | cat
echo "== status ${PIPESTATUS[0]}"
echo "== tests"
# shellcheck disable=SC2086
tests/run $TESTS
echo "== status $?"
read -r up _ </proc/uptime
echo "== over $up"
