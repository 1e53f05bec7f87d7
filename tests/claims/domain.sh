#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The elements of system 3, each shown by facts from /proc, from registers and
# memories of domains, from files and by what is refused.
# timeout: 300
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/domain.py"
