#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damaged files, killed processes, full disks, other users: always a cold
# start with the right result, and the reason told.
# timeout: 600
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/broken.py"
