#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a start reads, cut and changed at its bytes, of wrong owners and kinds;
# full disks; starts and installs without descriptors, with too many words, and
# through other names.  FAULT=full: at each byte.
# needs: python3
# timeout: 280
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/app_damaged.py"
