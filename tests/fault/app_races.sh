#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two hosts on one share that install, upgrade, roll back, collect and start
# at once, with kills; and upgrades under programs that run.
# timeout: 300
# alone
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/app_races.py"
