#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The elements of system 4, with three hosts on one share: this one and two
# machines.
# needs: python3 busybox
# timeout: 400
# alone
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/app.py"
