#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood machine image, and the agent in a machine that starts from one.
# timeout: 280
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/machine_image.py"
