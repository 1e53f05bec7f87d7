#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Servers of domains, their workers and callers, killed at any moment: nothing
# stays, and what comes next works.
# timeout: 240
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/domain_pool.py"
