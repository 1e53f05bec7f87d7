#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Guests that end or hang, damaged files, full disks, little memory.
# timeout: 400
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/machine.py" files
