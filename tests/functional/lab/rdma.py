# SPDX-License-Identifier: Apache-2.0
"""Soft RoCE on a dummy device of its own, for iSER and NVMe.

Never cut it by taking the link down: the queue pair that makes connections dies with it and every
later connect hangs. Disable the target's portal group (or unlink nvmet's port) instead.
"""

import pathlib

from tests.functional.lab import net, shell

ADDRESSES = (f'{net.ROCE[0]}.1', f'{net.ROCE[0]}.2')
ADDRESS = ADDRESSES[0]


def up() -> None:
    """Make the device (stays until the machine goes: taking it away is what hangs)."""
    if pathlib.Path('/sys/class/infiniband/rxelab').exists():
        return
    shell.modules('dummy', 'rdma_rxe', 'rdma_cm', 'ib_uverbs', 'rdma_ucm', 'ib_isert', 'ib_iser')
    lines = ['link add rdma0 type dummy', 'link set rdma0 mtu 4200']
    lines += [f'addr add {address}/24 dev rdma0' for address in ADDRESSES]
    lines.append('link set rdma0 up')
    shell.run('ip', '-batch', '-', stdin='\n'.join(lines) + '\n')
    shell.run('rdma', 'link', 'add', 'rxelab', 'type', 'rxe', 'netdev', 'rdma0')
