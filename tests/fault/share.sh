#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The lock of a share is taken, used and released, and killed or refused at
# each system call: the next one gets it, and no version is lost.
# timeout: 300
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
"$BUILD/tests/fault/share" "$folder"
