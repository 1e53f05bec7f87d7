#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A tip is published and killed or refused at every system call: the one
# before it still opens and is right.
# timeout: 300
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/image.py"
