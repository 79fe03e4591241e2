# SPDX-License-Identifier: Apache-2.0
"""A storage laboratory on one Linux machine: targets, networks, daemons, witnesses.

Usable with and without pytest, as root, in ``tools/guest`` or on a machine that may be lost.
Nothing here imports the library, except ``bricks``, and that only when a connector is asked for.

    from tests.functional import lab

    with lab.Testbed() as testbed:                     # addresses, iscsid, multipathd; undone last
        volume = testbed.volume('gold', megabytes=64)  # loop device + LIO iblock store
        target = testbed.target('t1', portals=4)       # iqn.2026-11.org.lab:t1 on 10.99.0.1..4
        target.map(1, volume)                        # LUN 1, on every portal group
        props = target.properties(1, plural=True)    # connection properties for LUN 1
        before = lab.oracle.snapshot()
        connector = lab.bricks.ours(multipath=True)  # in this process, real privsep daemon
        info = connector.connect_volume(props)
        volume.grow(96)                              # on the target's side
        connector.extend_volume(props)
        connector.disconnect_volume(props, info)
        lab.oracle.assert_same(before)               # waits (bounded), then prints what differs

Modules
    nvmet     Store, Subsystem, Port: namespaces, ANA, DH-HMAC-CHAP, paths cut and healed
    fcloop    NVMe over FC without a card
    loops     loop devices on files in RAM, which volumes and stores are made of
    fc        Fabric: two initiator and two target ports of Fibre Channel, cables cut and healed
    fleet     many volumes on four targets, attached and detached together
    lvm       Group: a volume group on device-mapper devices, asked from the outside
    lio       Volume, Target, Group (a portal group): map, unmap, remap, chap, enable
    net       addresses of the lab, cut()/heal(), unresponsive and refusing addresses, host names
    daemons   iscsid and multipathd by hand: start, stop, configure(), ask() multipathd
    ceph      Cluster: a Ceph of one node in RAM; its daemons hung, stopped and started
    nfs       Server: an NFS server in namespaces of its own, cut off like another host
    elsewhere  Host: another host's network and names; programs of ours run there
    initiator  Session: another host with iSCSI, made of PDUs
    storpool  Lab: a double of a StorPool cluster, whose volumes are loop devices here
    discovery_client  a double of Lightbits' client, which connects what files name
    oracle    snapshot() of all that an attach may leave, assert_same(), sweep() by force
    programs  Recorder: programs started by us and not by udev, with their command lines
    bricks    ours() in this process; Nursery and Worker: ours or the reference in processes
    tls       tlshd, and what a target over TLS knows
    rdma      soft RoCE for iSER and NVMe
    shell     run(), read(), write(), until(): the four things that everything is made of

NVMe over Fabrics:

    store = testbed.store('gold', block=4096)          # loop device with 4 KiB blocks
    subsystem = testbed.subsystem('s1', ports=2, transport='rdma')    # or tcp, fc, loop
    subsystem.map(1, store)                          # namespace 1
    props = subsystem.properties(1, 'B', by=('volume_nguid', 'ns_id'))
    subsystem.ports[0].ana('inaccessible')
    subsystem.cut(0)                                 # hosts reconnect until heal(0)
    name = lab.nvmet.connect(subsystem, 1)           # a controller of someone else's

The reference in processes of its own (the import is paid once, a worker is a fork of it):

    with lab.bricks.Nursery(lab.bricks.REFERENCE) as nursery:
        worker = nursery.spawn()
        worker.make(multipath=True)                  # starts its privsep daemon too
        info = worker.call('connect_volume', props)  # worker.elapsed: seconds in the call
        with lab.programs.Recorder() as recorder:
            worker.call('disconnect_volume', props, info)
        print(len(recorder.ours()), *recorder.ours(), sep='\\n')
"""

from tests.functional.lab import (
    bricks,
    ceph,
    daemons,
    discovery_client,
    elsewhere,
    fc,
    fcloop,
    fleet,
    initiator,
    lio,
    loops,
    lvm,
    net,
    nfs,
    nvmet,
    oracle,
    programs,
    rdma,
    shell,
    tls,
)
from tests.functional.lab.testbed import Testbed

__all__ = [
    'Testbed',
    'bricks',
    'ceph',
    'daemons',
    'discovery_client',
    'elsewhere',
    'fc',
    'fcloop',
    'fleet',
    'initiator',
    'lio',
    'loops',
    'lvm',
    'net',
    'nfs',
    'nvmet',
    'oracle',
    'programs',
    'rdma',
    'shell',
    'tls',
]
