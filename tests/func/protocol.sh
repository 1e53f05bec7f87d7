#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Peers that speak the protocols wrongly, oddly, or not at all.
# timeout: 180
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/protocol.py"
