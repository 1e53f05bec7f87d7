#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The elements of system 2, each shown by facts from /proc, from the files of
# images and from the guests.
# timeout: 400
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/layers.py"
