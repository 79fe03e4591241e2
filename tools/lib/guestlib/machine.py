# SPDX-License-Identifier: Apache-2.0
"""The virtual machine: its command line, whether KVM can be trusted, and booting it."""

import json
import os
import pathlib
import subprocess

from guestlib import image, paths, progress

CPUS = 2
MEMORY_MIB = 4096
FC_CARDS = 4
PROBE_SECONDS = 12.0  # a boot to the initrd takes 1 to 2 s where KVM works
_BOOT_ID = pathlib.Path('/proc/sys/kernel/random/boot_id')


def command(accelerator: str, built: pathlib.Path) -> list[str]:
    """The QEMU command for a full guest; paths are relative to the directory it runs in."""
    return [
        *_common(accelerator, built, 'console=ttyS0 panic=1 mitigations=off'),
        *('-m', str(MEMORY_MIB), '-smp', str(CPUS)),
        *('-drive', f'file={built / image.DISK},if=virtio,format=raw,snapshot=on'),
        *('-virtfs', 'local,path=share,mount_tag=share,security_model=none,multidevs=remap'),
        *('-device', 'virtio-serial-pci'),
        *('-chardev', 'socket,id=agent,path=agent.sock,server=on,wait=off'),
        *('-device', 'virtserialport,chardev=agent,name=os-brick'),
        *_fc_cards(),
    ]


def _common(accelerator: str, built: pathlib.Path, append: str) -> list[str]:
    if accelerator == 'kvm':
        engine = ['-accel', 'kvm', '-cpu', 'host']
    else:
        engine = ['-accel', 'tcg,thread=multi,tb-size=1024', '-cpu', 'max']
    return [
        'qemu-system-x86_64',
        *engine,
        *('-nographic', '-no-reboot', '-nodefaults', '-serial', 'stdio'),
        *('-kernel', str(built / image.KERNEL), '-initrd', str(built / image.INITRD)),
        *('-append', f'quiet nokaslr random.trust_cpu=on {append}'),
        *('-device', 'virtio-rng-pci'),
    ]


def _fc_cards() -> list[str]:
    """PCI network cards, each with the other end of its cable: for FCoE with real PCI paths."""
    words: list[str] = []
    for n in range(FC_CARDS):
        words += ['-netdev', f'hubport,id=fa{n},hubid={10 + n}']
        words += ['-device', f'e1000,netdev=fa{n},mac=02:fc:00:00:00:1{n},addr=0x1{n},romfile=']
        words += ['-netdev', f'hubport,id=fb{n},hubid={10 + n}']
        words += ['-device', f'virtio-net-pci,netdev=fb{n},mac=02:fc:00:00:01:1{n}']
        words[-1] += f',addr=0x1{n + 4},romfile='
    return words


def accelerator(built: pathlib.Path) -> str:
    """'kvm' if a real boot with it succeeds on this machine, else 'tcg'; asked once a boot."""
    forced = os.environ.get('OS_BRICK_GUEST_ACCEL')
    if forced:
        return forced
    boot = _BOOT_ID.read_text().strip()
    known = paths.cache() / 'accelerator.json'
    try:
        found = json.loads(known.read_text())
        if found['boot'] == boot and found['device'] == _kvm_usable():
            return str(found['accelerator'])
    except (OSError, ValueError, KeyError):
        pass
    answer = 'kvm' if _kvm_usable() and _probe(built) else 'tcg'
    remember(answer)
    return answer


def remember(answer: str) -> None:
    """Keep what was found out about this machine until it boots again."""
    found = {'boot': _BOOT_ID.read_text().strip(), 'device': _kvm_usable(), 'accelerator': answer}
    (paths.cache() / 'accelerator.json').write_text(json.dumps(found))


def _kvm_usable() -> bool:
    return os.access('/dev/kvm', os.R_OK | os.W_OK)


def _probe(built: pathlib.Path) -> bool:
    """True if a guest gets through its initrd. /dev/kvm can open and still hang every guest."""
    progress.line('trying KVM with a short boot')
    words = _common('kvm', built, 'console=ttyS0 panic=1 osbrick.probe')
    try:
        done = subprocess.run(
            [*words, '-m', '256'],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return b'OS-BRICK-PROBE-OK' in done.stdout
