# SPDX-License-Identifier: Apache-2.0
"""Programs of the host that building and running the guest needs; installs what is missing."""

import os
import shutil
import subprocess

from guestlib import progress

BUILD = {
    'mmdebstrap': 'mmdebstrap',
    'mke2fs': 'e2fsprogs',
    'tar': 'tar',
}
BUILD_WITHOUT_ROOT = {**BUILD, 'newuidmap': 'uidmap', 'fakeroot': 'fakeroot'}
# Certificates of the servers that the unit tests ask over TLS.
UNIT = {'openssl': 'openssl'}
RUN = {'qemu-system-x86_64': 'qemu-system-x86'}
KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
PATH = os.environ.get('PATH', '') + ':/usr/sbin:/sbin:/usr/local/sbin'


def need(programs: dict[str, str], *, keyring: bool = False) -> None:
    """See that the programs are there, installing their packages if they are not.

    :raises: progress.Failure with the command to run, when that cannot be done from here.
    """
    os.environ['PATH'] = PATH
    missing = sorted({package for program, package in programs.items() if not which(program)})
    if keyring and not os.path.exists(KEYRING):
        missing.append('debian-archive-keyring')
    if missing:
        install(missing)


def which(program: str) -> str | None:
    """The path of the program, looked for in the system's directories too."""
    return shutil.which(program, path=PATH)


def install(packages: list[str]) -> None:
    """Install packages with apt as root, or by sudo where it asks for no password.

    :raises: progress.Failure
    """
    command = ['apt-get', 'install', '-y', '--no-install-recommends', *packages]
    prefix = _become_root()
    if prefix is None or not which('apt-get'):
        raise progress.Failure(f'missing on this machine; run: sudo {" ".join(command)}')
    progress.line(f'installing {", ".join(packages)}')
    environment = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    if not _quiet([*prefix, *command], environment):  # lists may be missing or old
        _quiet([*prefix, 'apt-get', 'update'], environment)
        if not _quiet([*prefix, *command], environment, tell=True):
            raise progress.Failure(f'could not install packages; run: sudo {" ".join(command)}')


def _become_root() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    sudo = which('sudo')
    if (
        sudo
        and subprocess.run([sudo, '-n', 'true'], capture_output=True, check=False).returncode == 0
    ):
        return [sudo, '-n']
    return None


def _quiet(command: list[str], environment: dict[str, str], *, tell: bool = False) -> bool:
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and tell:
        progress.line((done.stdout + done.stderr)[-2000:])
    return done.returncode == 0
