#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Templates that stop inside main (ready, stdin, open:PATH), against exec.
# timeout: 120
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/deep.py"
