#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Interactive programs on a pseudo-terminal, started warm.
# timeout: 900
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/terminal.py"
