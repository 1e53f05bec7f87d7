#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts of installed applications whose share, lock, payload or context fails
# them in every way: the shared one, an independent one, or 75 and one line,
# in time, and nothing left behind.
# timeout: 600
# alone
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/app.py"
