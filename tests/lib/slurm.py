#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slurm.py PLACE BROOD-OCI BROOD [CPUS]: a cluster of Slurm with two nodes, n1
and n2, on this machine and its loopback alone: its folders, programs and
files in PLACE, of which users may read what they have to.  slurm.conf,
oci.conf and the Prolog of packaging/ are there then; who starts slurmctld and
"slurmd -N NODE" with that SLURM_CONF ends them."""

import os
import shutil
import socket
import sys

FROM = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "../../packaging/examples/slurm")
NODES = ("n1", "n2")
CONF = """ClusterName=brood
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={place}/control
SlurmdSpoolDir={place}/%n
SlurmctldPidFile={place}/control.pid
SlurmdPidFile={place}/%n.pid
SlurmctldLogFile={place}/control.log
SlurmdLogFile={place}/%n.log
Prolog={place}/prolog
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
"""
NODE = ("NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 "
        "Port={port} CPUs={cpus}\n")
PARTITION = "PartitionName=all Nodes=n1,n2 Default=YES State=UP\n"


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def make(place, oci, brood, cpus=32):
    os.chmod(place, 0o755)
    for folder in ("control", "bin", *NODES):
        os.mkdir(os.path.join(place, folder))
    for program in (oci, brood):
        shutil.copy(program, os.path.join(place, "bin"))
    for file in ("oci.conf", "prolog"):
        with open(os.path.join(FROM, file)) as f:
            text = f.read()
        for theirs, ours in (("/usr/bin", "/bin"),
                             ("/run/brood-slurm", "/run"),
                             ("/var/cache/brood/slurm", "/cache")):
            text = text.replace(theirs, place + ours)
        with open(os.path.join(place, file), "w") as f:
            f.write(text)
    os.chmod(os.path.join(place, "prolog"), 0o755)
    ports = free_ports(1 + len(NODES))
    with open(os.path.join(place, "slurm.conf"), "w") as f:
        f.write(CONF.format(place=place, ports=ports))
        for name, port in zip(NODES, ports[1:]):
            f.write(NODE.format(name=name, port=port, cpus=cpus))
        f.write(PARTITION)


if __name__ == "__main__":
    make(*sys.argv[1:4], *map(int, sys.argv[4:]))
