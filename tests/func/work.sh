#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real work, started warm, against the same work started cold.
# timeout: 900
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/work.py"
