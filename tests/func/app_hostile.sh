#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Appliances as an enemy makes them: each is refused with one line, and host and
# share are what they were.
# needs: python3
# timeout: 280
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/app_hostile.py"
