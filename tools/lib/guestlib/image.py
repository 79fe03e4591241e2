# SPDX-License-Identifier: Apache-2.0
"""Builds the guest's disk, kernel and initrd, as root or not, without mounting anything."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

from guestlib import hostpackages, initrd, metadata, paths, progress, recipe

DISK, KERNEL, INITRD = 'root.img', 'vmlinuz', 'initrd.gz'
_STILL_BUSY_SECONDS = 15.0


def ready() -> pathlib.Path:
    """The directory of a complete image, built first if there is none for this recipe."""
    target = paths.cache() / f'image-{recipe.key()}'
    if target.is_dir():
        return target
    with paths.locked('build.lock', 'another build of the image'):
        if not target.is_dir():
            _build(target)
    return target


def _build(target: pathlib.Path) -> None:
    root = os.geteuid() == 0
    hostpackages.need(hostpackages.BUILD if root else hostpackages.BUILD_WITHOUT_ROOT, keyring=True)
    progress.line(f'building the image {target.name} once; this takes a few minutes')
    for left in target.parent.glob('building-*'):  # by a build that was killed
        _remove_tree(left)
    work = pathlib.Path(tempfile.mkdtemp(prefix='building-', dir=target.parent))
    try:
        rootfs = work / 'rootfs'
        rootfs.mkdir()
        _debian(work, rootfs)
        _python_environments(rootfs)
        _settle(rootfs)
        _boot_files(rootfs, work)
        _disk(rootfs, work, root=root)
        _remove_tree(rootfs)
        work.chmod(0o755)
        work.rename(target)
    finally:
        _remove_tree(work)
    _forget_old_images(target)
    progress.line(f'image ready: {target}')


def _debian(work: pathlib.Path, rootfs: pathlib.Path) -> None:
    """Unpack a minimal Debian with the recipe's packages."""
    tarball = work / 'rootfs.tar'
    _run(
        f'Debian {recipe.SUITE} with {len(recipe.PACKAGES)} packages and what they need',
        [
            'mmdebstrap',
            '--variant=minbase',
            *(f'--dpkgopt=path-exclude={pattern}' for pattern in recipe.EXCLUDED),
            *(f'--aptopt={option}' for option in _apt_options()),
            f'--include={",".join(recipe.PACKAGES)}',
            recipe.SUITE,
            str(tarball),
            *_mirror(),
        ],
        log=work / 'debian.log',
        INITRD='No',  # the kernel package's hook would make one, slowly
    )
    _run(
        'unpacking',
        ['tar', '-x', '-p', '--exclude=./dev/*', '-C', str(rootfs), '-f', str(tarball)],
        log=work / 'tar.log',
    )
    tarball.unlink()


def _mirror() -> list[str]:
    """The mirror this machine takes Debian from; none: mmdebstrap's own default."""
    form = '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)'
    rows = _answer(['apt-get', 'indextargets', '--format', form, 'Created-By: Packages'])
    for row in rows.splitlines():
        origin, label, component, address = row.split('|', 3)
        if (origin, label, component) == ('Debian', 'Debian', 'main'):
            return [address]
    return []


def _apt_options() -> list[str]:
    """The proxies of this machine's apt configuration."""
    rows = _answer(['apt-config', 'dump']).splitlines()
    return [row.rstrip(';') for row in rows if re.match(r'Acquire::https?::Proxy\b', row, re.I)]


def _python_environments(rootfs: pathlib.Path) -> None:
    """Install with the image's Python and pip; they run here: this machine's pip settings hold."""
    python = _python_of(rootfs)
    pip = next(rootfs.glob('usr/share/python-wheels/pip-*.whl'))
    for prefix, requirements in recipe.ENVIRONMENTS.items():
        home = rootfs / prefix.lstrip('/')
        packages = home / 'lib' / f'python{recipe.PYTHON}' / 'site-packages'
        packages.mkdir(parents=True)
        _run(
            f'{prefix}: {" ".join(requirements)}',
            [
                *python,
                f'{pip}/pip',
                'install',
                '--quiet',
                '--no-compile',
                '--only-binary=:all:',
                '--disable-pip-version-check',
                '--root-user-action=ignore',
                '--target',
                str(packages),
                *requirements,
            ],
            log=rootfs.parent / f'pip-{home.name}.log',
            PYTHONHOME=str(rootfs / 'usr'),
        )
        _as_environment(home, prefix, packages)
        _link_distribution_modules(rootfs, packages)
    _point_to_checkout(rootfs)
    for place in (*recipe.ENVIRONMENTS, f'/usr/lib/python{recipe.PYTHON}'):
        _compile(rootfs, python, place)


def _python_of(rootfs: pathlib.Path) -> list[str]:
    """A command that runs the image's Python on this machine, with the image's C library."""
    return [
        str(rootfs / 'usr/lib64/ld-linux-x86-64.so.2'),
        '--library-path',
        str(rootfs / 'usr/lib/x86_64-linux-gnu'),
        str(rootfs / f'usr/bin/python{recipe.PYTHON}'),
    ]


def _as_environment(home: pathlib.Path, prefix: str, packages: pathlib.Path) -> None:
    """Make a directory of packages a virtual environment with programs that start in the guest."""
    (home / 'pyvenv.cfg').write_text(
        f'home = /usr/bin\ninclude-system-site-packages = false\nversion = {recipe.PYTHON}\n'
    )
    programs = home / 'bin'
    if (packages / 'bin').is_dir():
        (packages / 'bin').rename(programs)
    programs.mkdir(exist_ok=True)
    interpreter = f'{prefix}/bin/python{recipe.PYTHON}'
    for program in programs.iterdir():
        text = program.read_bytes()
        if text.startswith(b'#!'):
            _, _, body = text.partition(b'\n')
            if body.startswith(b"'''exec'"):  # distlib's form for long interpreter paths
                body = body.split(b"' '''\n", 1)[1]
            program.write_bytes(f'#!{interpreter}\n'.encode() + body)
            program.chmod(0o755)
    (programs / f'python{recipe.PYTHON}').symlink_to(f'/usr/bin/python{recipe.PYTHON}')
    if prefix == '/opt/reference':
        # -P: in /opt/checkout, `import os_brick` must not find the checkout.
        (programs / 'python').write_text(f'#!/bin/sh\nexec {interpreter} -P "$@"\n')
        (programs / 'python').chmod(0o755)
    else:
        (programs / 'python').symlink_to(f'python{recipe.PYTHON}')
    (programs / 'python3').symlink_to('python')


def _link_distribution_modules(rootfs: pathlib.Path, packages: pathlib.Path) -> None:
    """Let an environment import these modules of Debian's, and no other that it may lack."""
    for name in recipe.DISTRIBUTION_MODULES:
        (module,) = rootfs.glob(f'usr/lib/python3/dist-packages/{name}.*.so')
        (packages / module.name).symlink_to(f'/usr/lib/python3/dist-packages/{module.name}')


def _point_to_checkout(rootfs: pathlib.Path) -> None:
    """Let /opt/os-brick import the checkout, and give it a version, as if installed editable."""
    packages = rootfs / f'opt/os-brick/lib/python{recipe.PYTHON}/site-packages'
    (packages / 'os-brick-checkout.pth').write_text(recipe.CHECKOUT + '\n')
    metadata.write(packages)
    (rootfs / recipe.CHECKOUT.lstrip('/')).mkdir(exist_ok=True)


def _compile(rootfs: pathlib.Path, python: list[str], place: str) -> None:
    """Write bytecode: under emulation compiling costs many times more than loading."""
    _run(
        f'compiling {place}',
        [
            *python,
            *('-m', 'compileall', '-q', '-s', str(rootfs), '-p', '/'),
            str(rootfs / place.lstrip('/')),
        ],
        log=rootfs.parent / 'compile.log',
        ok=(0, 1),  # some packages ship files of a foreign syntax as test data
        PYTHONHOME=str(rootfs / 'usr'),
    )


def _settle(rootfs: pathlib.Path) -> None:
    """Configuration that every guest has; fixtures write the rest."""
    (rootfs / 'etc/iscsi').mkdir(exist_ok=True)
    (rootfs / 'etc/iscsi/initiatorname.iscsi').write_text(
        'InitiatorName=iqn.2026-11.org.lab:init\n'
    )
    (rootfs / 'etc/hostname').write_text('guest\n')
    (rootfs / 'etc/hosts').write_text('127.0.0.1 localhost guest\n::1 localhost\n')
    (rootfs / 'etc/resolv.conf').unlink(missing_ok=True)
    (rootfs / 'etc/resolv.conf').write_text('')
    for name in ('mnt/share', 'opt/checkout'):
        (rootfs / name).mkdir(parents=True, exist_ok=True)


def _boot_files(rootfs: pathlib.Path, work: pathlib.Path) -> None:
    kernels = sorted((rootfs / 'usr/lib/modules').iterdir())
    kernel = kernels[-1].name
    shutil.copyfile(rootfs / 'boot' / f'vmlinuz-{kernel}', work / KERNEL)
    (work / KERNEL).chmod(0o644)
    initrd.write(rootfs, kernel, work / INITRD)


def _disk(rootfs: pathlib.Path, work: pathlib.Path, *, root: bool) -> None:
    """Make the ext4 image; fakeroot shows the files of an ordinary user as root's."""
    command = ['mke2fs', '-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-E', 'root_owner=0:0']
    _run(
        'writing the disk',
        ([] if root else ['fakeroot', '--'])
        + [*command, '-d', str(rootfs), str(work / DISK), recipe.IMAGE_SIZE],
        log=work / 'mke2fs.log',
    )


def _run(
    what: str, command: list[str], log: pathlib.Path, ok: tuple[int, ...] = (0,), **more: str
) -> None:
    """Run one step, with a line at its start and now and then while it goes on."""
    progress.line(what)
    over = threading.Event()

    def still() -> None:
        while not over.wait(_STILL_BUSY_SECONDS):
            progress.line(f'... {_last_line(log)}')

    reporter = threading.Thread(target=still, daemon=True)
    reporter.start()
    try:
        with open(log, 'ab') as output:
            done = subprocess.run(
                command,
                env={**os.environ, **more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
    finally:
        over.set()
        reporter.join()
    if done.returncode not in ok:
        tail = log.read_text(errors='replace')[-3000:]
        raise progress.Failure(f'{command[0]} failed ({done.returncode}) while: {what}\n{tail}')


def _last_line(log: pathlib.Path) -> str:
    text = log.read_bytes()[-2000:].decode(errors='replace') if log.exists() else ''
    lines = [line.strip() for line in re.split(r'[\r\n]', text) if line.strip()]
    return lines[-1][:100] if lines else 'still busy'


def _answer(command: list[str]) -> str:
    """The output of a program, or nothing where there is no such program."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ''


def _remove_tree(directory: pathlib.Path) -> None:
    """Remove a tree that may hold directories its owner cannot write to."""
    for parent, _, _ in os.walk(directory):
        if not os.access(parent, os.W_OK | os.X_OK):
            os.chmod(parent, 0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _forget_old_images(current: pathlib.Path) -> None:
    """Keep the newest two other images: other checkouts may still use them."""
    others = [path for path in current.parent.glob('image-*') if path != current]
    others.sort(key=lambda path: path.stat().st_mtime)
    for path in others[:-2]:
        progress.line(f'removing the old image {path.name}')
        _remove_tree(path)


if __name__ == '__main__':
    try:
        print(ready())
    except progress.Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(failure.status)
