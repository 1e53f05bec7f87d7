#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood machine: booted once, saved, started many times; each of them another
# machine; consoles, ports, machines that wait; a user's story.
# timeout: 400
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/machine.py"
