#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The elements of system 1, each shown by facts from /proc.
# timeout: 200
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/cache.py"
