#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a node can start warm: as a table, JSON, metrics, a file, and a server.
# timeout: 120
# beside others
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/node.py"
