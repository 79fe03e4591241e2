# SPDX-License-Identifier: Apache-2.0
"""Names that others have given: for each kind, what its owner allows and what we refuse.

A name is valid if its owner (a kernel, a tool, a specification) says so. Less is accepted only
where a character would end the option, the line or the path that the name is put into. The
parsers of connection properties and the root functions use the same rules;
``doc/source/contributor/names.rst`` has them as a table with their sources.
"""

from __future__ import annotations

import dataclasses
import re
import reprlib

# Characters of a value that an error shows, and items of a list or a dictionary.
_MOST_SHOWN = 80
_MOST_ITEMS = 4

# What is not part of a line of text: controls, line and paragraph separators, lone surrogates.
_CONTROL = r'\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff'
# What the C library's isspace() strips in open-iscsi and in Linux.
_C_SPACE = r' \t\n\v\f\r'

_shorten = reprlib.Repr()
_shorten.maxlevel = 2
_shorten.maxstring = _shorten.maxother = _shorten.maxlong = _MOST_SHOWN
_shorten.maxlist = _shorten.maxtuple = _shorten.maxdict = _shorten.maxset = _MOST_ITEMS
_shorten.maxfrozenset = _MOST_ITEMS


def shown(value: object) -> str:
    """A value as an error shows it: on one line, and cut in the middle if it is long."""
    try:
        text = _shorten.repr(value)
    except (ValueError, RecursionError):  # An integer with thousands of digits; endless nesting.
        text = f'a value of type {type(value).__name__}'
    if len(text) > 2 * _MOST_SHOWN:
        text = f'{text[:_MOST_SHOWN]}...{text[-_MOST_ITEMS:]}'
    return text


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What names of one kind look like.

    :ivar what: the kind, such as ``iSCSI name``.
    :ivar pattern: matches the whole of a valid name.
    :ivar most_bytes: the longest name, in bytes of UTF-8.
    :ivar hint: what an error adds to explain a refusal.
    """

    what: str
    pattern: re.Pattern[str]
    most_bytes: int
    hint: str = ''

    def why_not(self, text: str) -> str | None:
        """Why a text is not such a name, or ``None`` if it is one."""
        if self.pattern.fullmatch(text) is None:
            return self.hint or 'it has another form'
        if len(text.encode(errors='surrogatepass')) > self.most_bytes:
            return f'it is longer than {self.most_bytes} bytes'
        return None

    def parse(self, value: object) -> str:
        """The name, as it is.

        :raises ValueError: saying what is wrong with it.
        """
        text = require_text(value)
        why = self.why_not(text)
        if why is not None:
            raise ValueError(f'{shown(text)} is not a valid {self.what}: {why}')
        return text


def require_text(value: object) -> str:
    """A value if it is a text.

    :raises ValueError: if it is something else.
    """
    if not isinstance(value, str):
        raise ValueError(f'expected a text, got {type(value).__name__}')
    return value


def _rule(what: str, pattern: str, most_bytes: int, hint: str = '') -> Rule:
    return Rule(what, re.compile(pattern), most_bytes, hint)


# RFC 7143, 4.2.7: 223 bytes of UTF-8 with a type designator. RFC 3722 forbids white space and
# nearly all ASCII punctuation, but targets do use "_" and others; open-iscsi 2.1 takes all that
# can be the name of a directory. A comma separates the words of its links.
ISCSI_NAME = _rule(
    'iSCSI name',
    rf'(?i:iqn|eui|naa)\.[^\s/,{_CONTROL}]+',
    223,
    'it has to begin with iqn., eui. or naa. and to be without blanks, commas and slashes',
)
# open-iscsi 2.1, ISCSI_MAX_IFACE_LEN with its NUL: 65; the name of a file below ifaces.
IFACE = _rule(
    'name of an iface record',
    rf'(?![.-])[^\s/,{_CONTROL}](?:[^/,{_CONTROL}]*[^\s/,{_CONTROL}])?',
    64,
    'it has to be the name of a file, without commas and without blanks at its ends',
)
# open-iscsi 2.1, AUTH_STR_MAX_LEN and VALUE_MAXVAL with their NUL: 256. It reads a record by
# lines and strips isspace() from both ends of a value.
RECORD_VALUE = _rule(
    'value of a record of open-iscsi',
    rf'(?![{_C_SPACE}])[^{_CONTROL}]*(?<![{_C_SPACE}])',
    255,
    'it has to be one line without blanks at its ends, which open-iscsi would drop',
)
# Linux 6.12, drivers/nvme/host/fabrics.c: fewer than NVMF_NQN_SIZE (223) bytes, of any form; an
# option ends with a comma, and all of them with the line.
NQN = _rule(
    'NVMe qualified name',
    rf'[^\s,{_CONTROL}](?:[^,{_CONTROL}]*[^\s,{_CONTROL}])?',
    222,
    'it has to be one line without commas, which would end an option of the kernel',
)
# The same in /etc/nvme/hostnqn, where libnvme 1.x would take a comment or quotes for the name.
HOST_NQN = _rule(
    'NVMe qualified name of a host',
    rf'[^\W_](?:[^,{_CONTROL}]*[^\s,{_CONTROL}])?',
    222,
    'it has to be one line that begins with a letter or digit and is without commas',
)
# Any other option of a connection, such as an address.
FABRICS_OPTION = _rule(
    'value of an option of nvme-fabrics',
    rf'[^,{_CONTROL}]+',
    255,
    'it has to be one line without commas',
)
# Lightbits' discovery client splits a line at white space and "=", and ends it at "#".
DISCOVERY_WORD = _rule(
    'word of a file of the discovery client',
    rf'[^\s=#{_CONTROL}]+',
    255,
    'it has to be without blanks, "=" and "#"',
)
# Linux, net/core/dev.c, dev_valid_name(): fewer than IFNAMSIZ (16) bytes. A comma would end an
# option of nvme-fabrics.
INTERFACE = _rule(
    'name of a network interface',
    rf'(?!\.\.?\Z)[^\s/:,{_CONTROL}]+',
    15,
    'it has to be without blanks, slashes, colons and commas',
)
# RFC 4007, 11.2: an interface's name or number after an IPv6 address. Such an address becomes
# part of file names, where patterns are looked for.
ZONE = _rule(
    'zone of an IPv6 address', rf'(?!\.\.?\Z)[^\s/:,%*?\[\]\\{_CONTROL}]+', 15, INTERFACE.hint
)

_LABEL = r'[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?'
# RFC 1123, 2.1, with the underscore that resolvers take. The final dot says that no search
# domain is added. A name whose last label is a number is not one: getaddrinfo() takes "1",
# "0x7f000001" and "127.1" for addresses, as inet_aton() spells them.
HOST_NAME = _rule(
    'IP address or host name',
    rf'(?!(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?\Z){_LABEL}(?:\.{_LABEL})*\.?',
    254,
    'an IPv4 address is four decimal numbers without leading zeros, and a host name '
    'labels of ASCII letters, digits, "-" and "_" of which the last is not a number',
)

# What a caller may have kept of an older release, of udev or of scsi_id: any text. It is compared
# only, and goes to no tool.
WWID_TEXT = _rule('WWID', r'[^\0\r\n\ud800-\udfff]+', 1024, 'it has to be one line of text')
# multipath-tools 0.11, WWID_SIZE with its NUL: 128; /etc/multipath/wwids has "/WWID/" on a line.
WWID = _rule(
    'WWID',
    rf'[A-Za-z0-9][^ /"{_CONTROL}]+',
    127,
    'it has to begin with a letter or digit and to be without blanks, slashes and quotes',
)
# Linux, DM_NAME_LEN with its NUL: 128; device-mapper takes all but a slash.
MAP = _rule('name of a multipath map', rf'[^/{_CONTROL}]+', 127, 'it has to be without slashes')
# What multipathd gives a map, and kpartx the maps of its partitions; DM_UUID_LEN with its NUL: 129.
# libdevmapper writes what is not printable ASCII as hexadecimal.
MAP_UUID = _rule('UUID of a multipath map', rf'(?:part[0-9]{{1,4}}-)?mpath-[^\s/{_CONTROL}]+', 128)

# The kernel's own names.
SCSI_DISK = _rule('name of a SCSI disk', r'sd[a-z]{1,8}', 31)
# DISK_NAME_LEN with its NUL: 32. cciss!c0d0 is cciss/c0d0 in /dev, and is not used.
BLOCK = _rule('name of a block device', r'(?!.*\.\.)[A-Za-z][A-Za-z0-9_.:-]+', 31)
SCSI_ADDRESS = _rule('SCSI address', r'[0-9]{1,7}:[0-9]{1,7}:[0-9]{1,7}:[0-9]{1,20}', 64)
NVME_CONTROLLER = _rule('name of an NVMe controller', r'nvme[0-9]{1,7}', 31)
NVME_SUBSYSTEM = _rule('name of an NVMe subsystem', r'nvme-subsys[0-9]{1,7}', 31)
# Linux, drivers/s390/scsi: the names of files of the zfcp driver.
FCP_DEVICE = _rule('number of an FCP device', r'[0-9a-f]\.[0-3]\.[0-9a-f]{4}', 8)
FCP_WWPN = _rule('WWPN with 0x', r'0x[0-9a-f]{16}', 18)
FCP_LUN = _rule('FCP LUN', r'0x[0-9a-f]{16}', 18)
# md_NAME where mdadm.conf says "CREATE names=yes".
MD_ARRAY = _rule(
    "kernel's name of an md array", r'(?!.*\.\.)md(?:[0-9]{1,7}|_[A-Za-z0-9_.:-]+)', 31
)
MD_UUID = _rule('UUID of an md array', r'[0-9a-f]{8}(?::[0-9a-f]{8}){3}', 35)
# One name below /dev/md, which mdadm also writes into the superblock. mdadm 4.3 and later takes
# POSIX's portable names only.
MD_ALIAS = _rule(
    'name of an md array',
    r'(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.:-]*',
    64,
    'it has to be of letters, digits and "_.:-", and to begin with a letter or digit',
)

_LVM_HINT = 'it has to be of letters, digits and "+_.-", and not to begin with "-"'
# lvm(8), valid names; NAME_LEN with its NUL: 128.
VG = _rule('name of a volume group', r'(?!-|\.\.?\Z)[A-Za-z0-9+_.-]+', 127, _LVM_HINT)
LV = _rule('name of a logical volume', r'(?!-|\.\.?\Z)[A-Za-z0-9+_.-]+', 127, _LVM_HINT)
# lvm2 2.03.31, apply_lvname_restrictions(): the parts of a mirror, a pool or a cache.
LV_RESERVED = re.compile(
    r'(?:snapshot|pvmove).*|.*_(?:cdata|cmeta|corig|cvol|wcorig|iorig|imeta|mimage|mlog|pmspare'
    r'|rimage|rmeta|tdata|tmeta|vdata|vorigin).*'
)
# What parts of volumes, which are not volumes themselves, are called besides; a volume may be, too.
LV_PART = re.compile(rf'{LV_RESERVED.pattern}|.*_(?:cpool|tpool|vpool)')
# One word that LVM takes for a device: its first letter makes a tag or an option of others.
PV_PATH = _rule('path of a device', rf'/dev/[^\s,{_CONTROL}]+', 4095, 'it has to begin with /dev/')

# Ceph takes any text for pools, namespaces, images and snapshots; "/" and "@" stand between them.
# Objects are named after them (osd_max_object_name_len is 2048), and Linux takes one page in all.
RBD = _rule(
    'name of a pool, a namespace, an image or a snapshot of Ceph',
    rf'[^/@{_CONTROL}]+',
    1024,
    'it has to be without slashes, "@" and control characters',
)
# Linux, drivers/block/rbd.c, splits what it is given at white space.
RBD_MAPPED = _rule(
    'name that the kernel can map',
    rf'[^\s/@{_CONTROL}]+',
    1024,
    'it has to be without blanks, slashes and "@"',
)
# It is an option there, which ends with a comma.
RBD_OPTION = _rule(
    'name of a namespace that the kernel can map',
    rf'[^\s/@,{_CONTROL}]+',
    1024,
    'it has to be without blanks, slashes, commas and "@"',
)
# The ID of an entity of Ceph: part of a section's name, of an option of the kernel and of the name
# of a keyring.
CEPH_USER = _rule(
    'name of a user of Ceph',
    rf'[^\s/,=\[\]$;#"\'{_CONTROL}]+',
    255,
    'it has to be without blanks, slashes, commas, brackets, quotes and "=$;#"',
)
# Part of the names of files in /etc/ceph (ceph(8), --cluster).
CEPH_CLUSTER = _rule(
    'name of a cluster of Ceph',
    r'[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?',
    255,
    'it has to be of letters, digits and "_.-"',
)
# StorPool, reference of the API 21.0, VolumeNameOrGlobalId: of 200 bytes at most.
STORPOOL_VOLUME = _rule(
    'name of a StorPool volume',
    r'#?[A-Za-z0-9_.:-]+',
    200,
    'it has to be of letters, digits and "_.:-"',
)
# The same, Global Volume Id; with "~" before it, it takes the place of a name.
STORPOOL_GLOBAL_ID = _rule(
    'global id of a StorPool volume',
    r'[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+',
    199,
    'it has to be three words of lower-case letters and digits with dots between them',
)
