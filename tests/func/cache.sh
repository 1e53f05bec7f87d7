#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The code cache as its owner meets it: brood cache ls, show, verify, prune.
# timeout: 120
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/cache.py"
