#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 at each step of an install, an upgrade, a rollback, a collection, an
# uninstall and a start.
# timeout: 600
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/app_killed.py"
