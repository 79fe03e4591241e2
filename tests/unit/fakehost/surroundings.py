# SPDX-License-Identifier: Apache-2.0
"""What else there is on a host that is well: daemons, programs, modules, mounts, names.

    furnish(host)
    Surroundings(host).stop('iscsid')

Words and lines are those of Linux 6.12 (proc(5)); processes have the names of Debian's.
"""

from tests.unit.fakehost import host as fake_host

RELEASE = '6.12.107'
UUID = '5a9c1a5e-7d0f-4c3a-9d39-1f1b3c2d4e5f'
ISCSID = '@ISCSIADM_ABSTRACT_NAMESPACE'
MULTIPATHD = '@/org/kernel/linux/storage/multipathd'
MOUNTS = """\
21 1 0:19 / / rw,relatime - ext4 /dev/vda1 rw
22 21 0:20 / /sys rw,nosuid,nodev,noexec,relatime - sysfs sysfs rw
23 21 0:5 / /dev rw,nosuid - devtmpfs udev rw,size=1g
"""
_PROGRAMS = ('iscsiadm', 'multipathd', 'mdadm', 'nvme', 'cryptsetup', 'mount.nfs')


class Surroundings:
    """The surroundings of a host of the tests; each method changes one of them."""

    def __init__(self, host: fake_host.Host) -> None:
        self.host = host
        self.tree = host.tree
        self.processes: dict[int, tuple[str, str]] = {}
        self.sockets = {ISCSID, MULTIPATHD}
        self.mounts(MOUNTS)
        for number, name in ((1, 'systemd'), (2, 'kthreadd'), (700, 'iscsid'), (762, 'multipathd')):
            self.process(number, name)
        self.listen()
        for name in _PROGRAMS:
            self.tree.file(f'/usr/sbin/{name}')
        self.tree.value('/proc/sys/kernel/osrelease', RELEASE)
        self.tree.value('/sys/module/nvme_core/parameters/multipath', 'Y')
        for module in ('iscsi_tcp', 'dm_multipath'):
            self.tree.directory(f'/sys/module/{module}')
        self.modules('kernel/drivers/nvme/host/nvme-tcp.ko.xz')
        self.tree.file(
            f'/lib/modules/{RELEASE}/modules.builtin',
            'kernel/drivers/scsi/device_handler/scsi_dh_alua.ko\n',
        )
        self.tree.value('/etc/nvme/hostnqn', f'nqn.2014-08.org.nvmexpress:uuid:{UUID}')
        self.tree.value('/etc/nvme/hostid', UUID)

    def process(self, number: int, name: str, state: str = 'S') -> None:
        """Have a process."""
        self.processes[number] = (name, state)
        self.tree.file(f'/proc/{number}/stat', f'{number} ({name}) {state} 1 1 1 0 -1\n')
        self.tree.value(f'/proc/{number}/comm', name)

    def end(self, number: int) -> None:
        """Have a process end."""
        del self.processes[number]
        self.tree.remove(f'/proc/{number}')

    def open(self, number: int, device: str) -> None:
        """Have a process open a device."""
        self.tree.directory(f'/proc/{number}/fd')
        # Not by the tree's method: these links are absolute.
        self.tree.at(f'/proc/{number}/fd/7').symlink_to(f'/dev/{device}')

    def listen(self) -> None:
        """Show the sockets that are listened on."""
        head = 'Num       RefCount Protocol Flags    Type St Inode Path\n'
        lines = [
            f'0000000000000000: 00000002 00000000 00010000 0001 01 {number} {name}\n'
            for number, name in enumerate(sorted(self.sockets), 1000)
        ]
        connected = '0000000000000000: 00000003 00000000 00000000 0001 03 900 @other\n'
        self.tree.file('/proc/net/unix', head + connected + ''.join(lines))

    def mute(self, socket: str) -> None:
        """Have no process listen on a socket."""
        self.sockets.discard(socket)
        self.listen()

    def mounts(self, text: str) -> None:
        """What is mounted, for this process and for the host's first."""
        for process in ('self', '1'):
            self.tree.file(f'/proc/{process}/mountinfo', text)

    def modules(self, *paths: str) -> None:
        """The modules on the disk."""
        text = ''.join(f'{path}: \n' for path in paths)
        self.tree.file(f'/lib/modules/{RELEASE}/modules.dep', text)


def furnish(host: fake_host.Host) -> Surroundings:
    """Have a host that is well in every respect that the doctor looks at."""
    return Surroundings(host)
