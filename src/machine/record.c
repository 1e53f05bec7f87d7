/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine has touched becomes its tip's working set. */
#include "image/scan.h"
#include "image/working.h"
#include "machine/machine.h"
#include <errno.h>
#include <string.h>

int machine_record(const struct images *images, const struct place *place,
		   uint64_t *bytes, struct err *err)
{
	auto_machine struct machine machine = { 0 };
	auto_ranges struct ranges touched = { 0 };
	struct layer layer = LAYER_NONE;
	int rc = machine_read(place, &machine, err);

	if (rc >= 0 && (!machine.tip[0] || strcmp(machine.mode, "map") != 0))
		rc = err_set(err, -EINVAL,
			     "machine %s does not map a tip's memory",
			     place->name);
	if (rc >= 0)
		rc = scan_process(machine.pid, machine.ram_at,
				  machine.shape.ram_bytes, SCAN_TOUCHED,
				  &touched, err);
	if (rc >= 0)
		rc = working_publish(images, machine.tip, &touched, &layer,
				     err);
	*bytes = layer.head.data_bytes;
	return rc;
}
