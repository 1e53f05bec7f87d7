#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images of memory as their owner meets them: brood image.
# timeout: 200
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/image.py"
