# SPDX-License-Identifier: Apache-2.0
"""Certificates that are made when a test needs them."""

import dataclasses
import functools
import pathlib
import shutil
import subprocess
import tempfile


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate that has signed itself, in PEM files.

    :ivar file: the certificate, which is its own authority.
    :ivar key: its private key.
    """

    file: pathlib.Path
    key: pathlib.Path


@functools.cache
def _directory() -> pathlib.Path:
    return pathlib.Path(tempfile.mkdtemp(prefix='os-brick-certificates-'))


@functools.cache
def of(*names: str) -> Certificate:
    """The certificate of some host names and IP addresses; the same one for the same names."""
    stem = _directory() / ('+'.join(names).replace(':', '_'))
    made = Certificate(stem.with_name(f'{stem.name}.pem'), stem.with_name(f'{stem.name}.key'))
    kinds = [f'IP:{name}' if name[-1].isdigit() or ':' in name else f'DNS:{name}' for name in names]
    openssl = shutil.which('openssl') or '/usr/bin/openssl'
    argv = [openssl, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
    argv += ['-nodes', '-days', '30', '-subj', f'/CN={names[0]}']
    argv += ['-addext', f'subjectAltName={",".join(kinds)}']
    argv += ['-keyout', str(made.key), '-out', str(made.file)]
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return made
