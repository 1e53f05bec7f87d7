#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The agent, on a pseudo-terminal of this system.  Its clock, its names and
# its power are left alone.
# timeout: 120
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/agent.py"
