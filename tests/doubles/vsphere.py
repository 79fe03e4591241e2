# SPDX-License-Identifier: Apache-2.0
"""A vCenter with one virtual machine, over TLS: its SOAP interface, exports and datastores.

Written from the vSphere Web Services API Reference and Programming Guide
(https://developer.broadcom.com/xapis/vsphere-web-services-api/latest/): the managed objects
SessionManager, PropertyCollector, VirtualMachine, HttpNfcLease, FileManager, VirtualDiskManager,
Task, and the section "Accessing datastore files" for ``/folder``. It keeps state: files of a
datastore, the disk of the machine, sessions, leases, tasks.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import itertools
import re
from typing import Any
from xml.etree import ElementTree
from xml.sax import saxutils

from tests.doubles import certificates, web

VIM = 'urn:vim25'
XSI = 'http://www.w3.org/2001/XMLSchema-instance'
USER, PASSWORD = 'backup@vsphere.local', 'pa55 & <w0rd>'
DATASTORE, DATACENTER, MACHINE = 'datastore-10', 'datacenter-2', 'vm-42'

# Type: its base, and its fields with their types; [] is a list, ? may be missing.
TYPES: dict[str, tuple[str, str]] = {
    'ServiceContent': (
        '',
        'rootFolder:ref propertyCollector:ref sessionManager:ref? fileManager:ref? '
        'virtualDiskManager:ref?',
    ),
    'UserSession': ('', 'key:string userName:string'),
    'DynamicProperty': ('', 'name:string val:any'),
    'MethodFault': ('', ''),
    'LocalizedMethodFault': ('', 'fault:MethodFault localizedMessage:string?'),
    'MissingProperty': ('', 'path:string fault:LocalizedMethodFault'),
    'ObjectContent': ('', 'obj:ref propSet:DynamicProperty[] missingSet:MissingProperty[]'),
    'RetrieveResult': ('', 'token:string? objects:ObjectContent[]'),
    'SelectionSpec': ('', 'name:string?'),
    'PropertySpec': ('', 'type:string all:boolean? pathSet:string[]'),
    'ObjectSpec': ('', 'obj:ref skip:boolean? selectSet:SelectionSpec[]'),
    'PropertyFilterSpec': ('', 'propSet:PropertySpec[] objectSet:ObjectSpec[]'),
    'RetrieveOptions': ('', 'maxObjects:int?'),
    'TaskInfo': ('', 'key:string state:string error:LocalizedMethodFault? result:any?'),
    'HttpNfcLeaseDeviceUrl': (
        '',
        'key:string importKey:string url:string sslThumbprint:string? disk:boolean?',
    ),
    'HttpNfcLeaseInfo': (
        '',
        'lease:ref entity:ref deviceUrl:HttpNfcLeaseDeviceUrl[] totalDiskCapacityInKB:long '
        'leaseTimeout:int',
    ),
    'VirtualDeviceBackingInfo': ('', ''),
    'VirtualDeviceFileBackingInfo': ('VirtualDeviceBackingInfo', 'fileName:string'),
    'VirtualDiskFlatVer2BackingInfo': ('VirtualDeviceFileBackingInfo', 'diskMode:string'),
    'VirtualDevice': (
        '',
        'key:int backing:VirtualDeviceBackingInfo? controllerKey:int? unitNumber:int?',
    ),
    'VirtualController': ('VirtualDevice', 'busNumber:int?'),
    'VirtualLsiLogicController': ('VirtualController', ''),
    'VirtualDisk': ('VirtualDevice', 'capacityInKB:long'),
    'ArrayOfVirtualDevice': ('', 'VirtualDevice:VirtualDevice[]'),
    'VirtualDeviceConfigSpec': ('', 'operation:string? fileOperation:string? device:VirtualDevice'),
    'VirtualMachineConfigSpec': ('', 'deviceChange:VirtualDeviceConfigSpec[]'),
    'VirtualMachineSnapshotTree': ('', 'name:string'),
    'VirtualMachineSnapshotInfo': ('', 'rootSnapshotList:VirtualMachineSnapshotTree[]'),
    'FileFault': ('MethodFault', 'file:string'),
    **dict.fromkeys(
        ('FileAlreadyExists', 'FileNotFound', 'FileLocked', 'NoDiskSpace'), ('FileFault', '')
    ),
    **dict.fromkeys(
        ('InvalidLogin', 'NotAuthenticated', 'InvalidState', 'TaskInProgress'), ('MethodFault', '')
    ),
    'RequestCanceled': ('MethodFault', ''),
}
# Method: its arguments after _this, and what it returns.
METHODS: dict[str, tuple[str, str]] = {
    'RetrieveServiceContent': ('', 'ServiceContent'),
    'Login': ('userName:string password:string locale:string?', 'UserSession'),
    'Logout': ('', ''),
    'RetrievePropertiesEx': (
        'specSet:PropertyFilterSpec[] options:RetrieveOptions',
        'RetrieveResult?',
    ),
    'CancelRetrievePropertiesEx': ('token:string', ''),
    'ExportVm': ('', 'ref'),
    'HttpNfcLeaseProgress': ('percent:int', ''),
    'HttpNfcLeaseComplete': ('', ''),
    'HttpNfcLeaseAbort': ('fault:LocalizedMethodFault?', ''),
    'MakeDirectory': ('name:string datacenter:ref? createParentDirectories:boolean?', ''),
    'DeleteDatastoreFile_Task': ('name:string datacenter:ref?', 'ref'),
    'CopyVirtualDisk_Task': (
        'sourceName:string sourceDatacenter:ref? destName:string destDatacenter:ref?',
        'ref',
    ),
    'DeleteVirtualDisk_Task': ('name:string datacenter:ref?', 'ref'),
    'ReconfigVM_Task': ('spec:VirtualMachineConfigSpec', 'ref'),
    'CancelTask': ('', ''),
}
_XSD = {'ref': 'vim25:ManagedObjectReference', 'any': 'xsd:anyType'}
_PLAIN = {'string', 'boolean', 'int', 'long'}


def _xsd(kind: str) -> str:
    return _XSD.get(kind) or (f'xsd:{kind}' if kind in _PLAIN else f'vim25:{kind}')


def _fields(text: str) -> str:
    found = []
    for field in text.split():
        name, kind = field.split(':')
        least = 0 if kind[-1] in '?]' else 1
        most = 'unbounded' if kind.endswith('[]') else '1'
        kind = kind.rstrip('?').removesuffix('[]')
        found.append(
            f'<element name="{name}" type="{_xsd(kind)}" minOccurs="{least}" maxOccurs="{most}"/>'
        )
    return f'<sequence>{"".join(found)}</sequence>'


def description(url: str) -> str:
    """The WSDL of the methods and types that are known here, in the form of vim.wsdl."""
    types = []
    for name, (base, fields) in TYPES.items():
        inner = _fields(fields)
        if base:
            inner = f'<extension base="vim25:{base}">{inner}</extension>'
            inner = f'<complexContent>{inner}</complexContent>'
        types.append(f'<complexType name="{name}">{inner}</complexType>')
    messages, operations, bindings = [], [], []
    for name, (arguments, returned) in METHODS.items():
        this = f'_this:ref {arguments}'
        back = f'returnval:{returned}' if returned else ''
        types += [
            f'<element name="{name}"><complexType>{_fields(this)}</complexType></element>',
            f'<element name="{name}Response"><complexType>{_fields(back)}</complexType></element>',
        ]
        for kind, element in (('Request', name), ('Response', f'{name}Response')):
            messages.append(
                f'<message name="{name}{kind}Msg"><part name="parameters" '
                f'element="vim25:{element}"/></message>'
            )
        operations.append(
            f'<operation name="{name}"><input message="vim25:{name}RequestMsg"/>'
            f'<output message="vim25:{name}ResponseMsg"/></operation>'
        )
        bindings.append(
            f'<operation name="{name}"><soap:operation soapAction="urn:vim25/8.0.1.0" '
            'style="document"/><input><soap:body use="literal"/></input>'
            '<output><soap:body use="literal"/></output></operation>'
        )
    moref = (
        '<complexType name="ManagedObjectReference"><simpleContent><extension base="xsd:string">'
        '<attribute name="type" type="xsd:string"/></extension></simpleContent></complexType>'
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<definitions targetNamespace="{VIM}" xmlns="http://schemas.xmlsoap.org/wsdl/"
 xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:vim25="{VIM}"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema"><types>
<schema targetNamespace="{VIM}" xmlns="http://www.w3.org/2001/XMLSchema"
 elementFormDefault="qualified">{moref}{''.join(types)}</schema></types>
{''.join(messages)}<portType name="VimPortType">{''.join(operations)}</portType>
<binding name="VimBinding" type="vim25:VimPortType">
<soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
{''.join(bindings)}</binding>
<service name="VimService"><port binding="vim25:VimBinding" name="VimPort">
<soap:address location="{url}/sdk"/></port></service></definitions>"""


class Fault(Exception):
    """What a method answers instead of a result."""

    def __init__(self, kind: str, text: str = '') -> None:
        super().__init__(kind)
        self.kind = kind
        self.text = text or f'{kind} has happened'


@dataclasses.dataclass
class Lease:
    state: str = 'initializing'
    looks: int = 0
    percents: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Task:
    act: Any
    state: str = 'queued'
    fault: Fault | None = None
    looks: int = 0


class VCenter(web.Server):
    """The server.

    :ivar files: what is in the datastore, by its path there.
    :ivar disk: the path of the machine's disk, ``None`` if it has none.
    :ivar others: paths of other disks of the machine by unit, which are listed and exported before
        the volume's, at unit 0.
    :ivar hidden: units that are not exported.
    :ivar device_key: what an export calls the disk at a unit.
    :ivar locked: files that cannot be deleted.
    :ivar is_running: whether the machine keeps its disks from being deleted.
    :ivar sessions: the keys of the sessions that are logged in.
    :ivar calls: the methods that were called.
    :ivar before_each: called with each method before it is done.
    :ivar refuse: a fault for a method, or for the task that it starts.
    :ivar slow: how many looks a task or a lease takes until it is done; -1 for ever.
    :ivar export_url: where the disk is exported, if it is not this server.
    """

    def __init__(self, certificate: certificates.Certificate | None = None) -> None:
        super().__init__(certificate or certificates.of('127.0.0.1', 'vcenter.lab'))
        self.reset()

    def reset(self) -> None:
        """Have everything be as it was made; clients keep the description of a server's API."""
        self.seen.clear()
        self.faults.clear()
        self.files: dict[str, bytes] = {'volume-1/volume-1.vmdk': b'the disk' * 1000}
        self.directories: set[str] = {'volume-1'}
        self.disk: str | None = 'volume-1/volume-1.vmdk'
        self.others: dict[int, str] = {}
        self.hidden: set[int] = set()
        self.device_key: Callable[[int], str] = lambda unit: (
            f'/{MACHINE}/VirtualLsiLogicController0:{unit}'
        )
        self.snapshots = 0
        self.before_each: Callable[[str], None] = lambda method: None
        self.locked: set[str] = set()
        self.is_running = True
        self.password = PASSWORD
        self.sessions: set[str] = set()
        self.leases: dict[str, Lease] = {}
        self.tasks: dict[str, Task] = {}
        self.calls: list[str] = []
        self.refuse: dict[str, Fault] = {}
        self.slow = 1
        self.export_url = ''
        self.thumbprint = ''
        self.capacity = 1 << 20
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f'https://127.0.0.1:{self.port}'

    def properties(self, directory: Any, **more: Any) -> dict[str, Any]:
        """Connection properties of the volume, as Cinder's driver makes them."""
        config = {
            'vmware_host_ip': '127.0.0.1',
            'vmware_host_port': self.port,
            'vmware_host_username': USER,
            'vmware_host_password': PASSWORD,
            'vmware_api_retry_count': 3,
            'vmware_task_poll_interval': 0.01,
            'vmware_ca_file': str(self.certificate and self.certificate.file),
            'vmware_insecure': False,
            'vmware_tmp_dir': str(directory),
            'vmware_image_transfer_timeout_secs': 30,
            **more,
        }
        return {
            'volume': MACHINE,
            'volume_id': 'volume-1',
            'vmdk_path': f'[nfs 1] {self.disk or "volume-1/volume-1.vmdk"}',
            'vmdk_size': self.capacity,
            'datastore': DATASTORE,
            'datacenter': DATACENTER,
            'config': config,
        }

    def content(self) -> bytes:
        """What is on the disk of the machine."""
        assert self.disk is not None
        return self.files[self.disk]

    def state(self) -> tuple[object, ...]:
        """All that an attach or a detach may leave behind."""
        return dict(self.files), self.disk, set(self.sessions), self._open_leases()

    def _open_leases(self) -> int:
        return sum(lease.state in ('initializing', 'ready') for lease in self.leases.values())

    # HTTP.

    def answer(self, request: web.Seen) -> web.Reply:
        if request.method == 'GET' and request.path == '/sdk/vimService.wsdl':
            return web.Reply(200, description(self.url).encode(), {'Content-Type': 'text/xml'})
        if request.method == 'POST' and request.path == '/sdk':
            return self._soap(request)
        if request.method == 'PUT' and request.parts[0] == 'folder':
            return self._upload(request)
        if request.method == 'GET' and request.parts[0] == 'nfc':
            return self._export(request)
        return web.Reply(404)

    def _session(self, request: web.Seen) -> str:
        found = re.search(r'vmware_soap_session="?([\w-]+)', request.headers.get('cookie', ''))
        return found[1] if found else ''

    def _upload(self, request: web.Seen) -> web.Reply:
        if self._session(request) not in self.sessions:
            return web.Reply(401)
        if request.query != {'dcPath': 'Lab Folder/Lab', 'dsName': 'nfs 1'}:
            return web.Reply(404)
        path = '/'.join(request.parts[1:])
        if path.rpartition('/')[0] not in self.directories:
            return web.Reply(404)
        is_new = path not in self.files
        self.files[path] = request.body
        return web.Reply(201 if is_new else 200)

    def _export(self, request: web.Seen) -> web.Reply:
        lease = self.leases.get(request.parts[1])
        if lease is None or lease.state != 'ready':
            return web.Reply(404)
        unit = int(re.sub(r'\D', '', request.parts[2]))
        return web.Reply(200, b'exported ' + self.files[self._disks()[unit]])

    # SOAP.

    def _soap(self, request: web.Seen) -> web.Reply:
        body = ElementTree.fromstring(request.body).find('.//{*}Body')
        assert body is not None
        call = body[0]
        method = call.tag.partition('}')[2]
        this = (call[0].text or '').strip()
        session = self._session(request)
        self.calls.append(method)
        self.before_each(method)
        headers = {'Content-Type': 'text/xml; charset=utf-8'}
        try:
            if method in self.refuse and not method.endswith('_Task'):
                raise self.refuse[method]
            if method not in ('RetrieveServiceContent', 'Login') and session not in self.sessions:
                raise Fault('NotAuthenticated')
            arguments = {each.tag.partition('}')[2]: each for each in call[1:]}
            if method == 'Login':
                session = self._log_in(arguments)
                headers['Set-Cookie'] = f'vmware_soap_session="{session}"; Path=/; HttpOnly; Secure'
            inner = getattr(self, f'_{method}')(this, arguments, session)
        except Fault as fault:
            return web.Reply(500, _envelope(_fault(fault)).encode(), headers)
        answer = f'<{method}Response xmlns="{VIM}">{inner}</{method}Response>'
        return web.Reply(200, _envelope(answer).encode(), headers)

    def _log_in(self, arguments: dict[str, ElementTree.Element]) -> str:
        if (arguments['userName'].text, arguments['password'].text) != (USER, self.password):
            raise Fault('InvalidLogin', 'Cannot complete login due to an incorrect user name.')
        key = f'session-{next(self._numbers)}'
        self.sessions.add(key)
        return key

    def _RetrieveServiceContent(self, *_words: Any) -> str:
        managers = {
            'rootFolder': ('Folder', 'group-d1'),
            'propertyCollector': ('PropertyCollector', 'propertyCollector'),
            'sessionManager': ('SessionManager', 'SessionManager'),
            'fileManager': ('FileManager', 'FileManager'),
            'virtualDiskManager': ('VirtualDiskManager', 'virtualDiskManager'),
        }
        inner = ''.join(_ref(name, *value) for name, value in managers.items())
        return f'<returnval>{inner}</returnval>'

    def _Login(self, _this: str, _arguments: Any, session: str) -> str:
        return f'<returnval><key>{session}</key><userName>{USER}</userName></returnval>'

    def _Logout(self, _this: str, _arguments: Any, session: str) -> str:
        self.sessions.discard(session)
        return ''

    def _RetrievePropertiesEx(self, _this: str, arguments: Any, _session: str) -> str:
        spec = arguments['specSet']
        name = spec.findtext('{*}propSet/{*}pathSet')
        found = spec.find('{*}objectSet/{*}obj')
        kind, key = found.get('type'), found.text
        value = self._property(kind, key, name)
        inner = f'<propSet><name>{name}</name>{value}</propSet>' if value else ''
        return f'<returnval><objects>{_ref("obj", kind, key)}{inner}</objects></returnval>'

    def _property(self, kind: str, key: str, name: str) -> str:
        known: dict[tuple[str, str], Any] = {
            ('Datastore', 'summary.name'): lambda: _val('nfs 1'),
            ('Datacenter', 'name'): lambda: _val('Lab'),
            ('Datacenter', 'parent'): lambda: _refval('Folder', 'group-d7'),
            ('Folder', 'name'): lambda: _val('Lab Folder' if key == 'group-d7' else 'Datacenters'),
            ('Folder', 'parent'): lambda: (
                '' if key == 'group-d1' else _refval('Folder', 'group-d1')
            ),
            ('VirtualMachine', 'snapshot'): self._snapshot,
            ('VirtualMachine', 'config.hardware.device'): self._devices,
            ('HttpNfcLease', 'state'): lambda: _val(self._look_at(self.leases[key])),
            ('HttpNfcLease', 'info'): lambda: self._lease_info(key),
            ('HttpNfcLease', 'error'): lambda: self._lease_error(),
            ('Task', 'info'): lambda: self._task_info(key),
        }
        expected = {'Datastore': DATASTORE, 'Datacenter': DATACENTER, 'VirtualMachine': MACHINE}
        if expected.get(kind, key) != key or (kind, name) not in known:
            raise Fault('ManagedObjectNotFound')
        return str(known[kind, name]())

    def _snapshot(self) -> str:
        if not self.snapshots:
            return ''
        trees = '<rootSnapshotList><name>s</name></rootSnapshotList>' * self.snapshots
        return f'<val xsi:type="VirtualMachineSnapshotInfo">{trees}</val>'

    def _disks(self) -> dict[int, str]:
        own = {} if self.disk is None else {0: self.disk}
        return {**self.others, **own}

    def _devices(self) -> str:
        found = (
            '<VirtualDevice xsi:type="VirtualLsiLogicController"><key>1000</key>'
            '<busNumber>0</busNumber></VirtualDevice>'
        )
        for unit, path in self._disks().items():
            found += (
                f'<VirtualDevice xsi:type="VirtualDisk"><key>{2000 + unit}</key>'
                '<backing xsi:type="VirtualDiskFlatVer2BackingInfo">'
                f'<fileName>[nfs 1] {path}</fileName><diskMode>persistent</diskMode></backing>'
                f'<controllerKey>1000</controllerKey><unitNumber>{unit}</unitNumber>'
                f'<capacityInKB>{self.capacity}</capacityInKB></VirtualDevice>'
            )
        return f'<val xsi:type="ArrayOfVirtualDevice">{found}</val>'

    # Exports.

    def _ExportVm(self, this: str, _arguments: Any, _session: str) -> str:
        if this != MACHINE:
            raise Fault('ManagedObjectNotFound')
        if self._open_leases():
            raise Fault('TaskInProgress')
        key = f'lease-{next(self._numbers)}'
        self.leases[key] = Lease()
        return _ref('returnval', 'HttpNfcLease', key)

    def _look_at(self, lease: Lease) -> str:
        lease.looks += 1
        if lease.state == 'initializing' and 0 <= self.slow < lease.looks:
            lease.state = 'error' if 'lease' in self.refuse else 'ready'
        return lease.state

    def _lease_error(self) -> str:
        return f'<val xsi:type="LocalizedMethodFault">{_method_fault(self.refuse["lease"])}</val>'

    def _lease_info(self, key: str) -> str:
        exported = [(f'/{MACHINE}/nvram', f'{self.url}/nfc/{key}/disk.nvram', 'false')]
        for unit in self._disks():
            url = f'{self.url}/nfc/{key}/disk-{unit}.vmdk'
            if unit not in self.hidden:
                exported.append((self.device_key(unit), self.export_url or url, 'true'))
        urls = ''.join(
            f'<deviceUrl><key>{name}</key><importKey></importKey>'
            f'<url>{saxutils.escape(where)}</url>'
            f'<sslThumbprint>{self.thumbprint}</sslThumbprint><disk>{disk}</disk></deviceUrl>'
            for name, where, disk in exported
        )
        return (
            f'<val xsi:type="HttpNfcLeaseInfo">{_ref("lease", "HttpNfcLease", key)}'
            f'{_ref("entity", "VirtualMachine", MACHINE)}{urls}'
            '<totalDiskCapacityInKB>1</totalDiskCapacityInKB><leaseTimeout>300</leaseTimeout></val>'
        )

    def _HttpNfcLeaseProgress(self, this: str, arguments: Any, _session: str) -> str:
        self.leases[this].percents.append(int(arguments['percent'].text))
        return ''

    def _HttpNfcLeaseComplete(self, this: str, _arguments: Any, _session: str) -> str:
        self.leases[this].state = 'done'
        return ''

    def _HttpNfcLeaseAbort(self, this: str, _arguments: Any, _session: str) -> str:
        self.leases[this].state = 'error'
        return ''

    # Files and tasks.

    @staticmethod
    def _path(element: ElementTree.Element) -> str:
        text = element.text or ''
        if not text.startswith('[nfs 1] '):
            raise Fault('InvalidDatastorePath')
        return text.removeprefix('[nfs 1] ')

    def _MakeDirectory(self, _this: str, arguments: Any, _session: str) -> str:
        path = self._path(arguments['name'])
        if path in self.directories:
            raise Fault('FileAlreadyExists')
        self.directories.add(path)
        return ''

    def _started(self, method: str, act: Any) -> str:
        key = f'task-{next(self._numbers)}'
        self.tasks[key] = Task(act, fault=self.refuse.get(method))
        return _ref('returnval', 'Task', key)

    def _task_info(self, key: str) -> str:
        task = self.tasks[key]
        task.looks += 1
        if task.state == 'queued' and 0 <= self.slow < task.looks:
            try:
                if task.fault is not None:
                    raise task.fault
                task.act()
                task.state = 'success'
            except Fault as fault:
                task.fault, task.state = fault, 'error'
        failed = task.fault is not None and task.state == 'error'
        error = f'<error>{_method_fault(task.fault)}</error>' if failed and task.fault else ''
        inner = f'<key>{key}</key><state>{task.state}</state>{error}'
        return f'<val xsi:type="TaskInfo">{inner}</val>'

    def _CancelTask(self, this: str, _arguments: Any, _session: str) -> str:
        task = self.tasks[this]
        if task.state == 'queued':
            task.state, task.fault = 'error', Fault('RequestCanceled')
        return ''

    def _DeleteDatastoreFile_Task(self, _this: str, arguments: Any, _session: str) -> str:
        path = self._path(arguments['name'])
        return self._started('DeleteDatastoreFile_Task', lambda: self._delete(path))

    def _DeleteVirtualDisk_Task(self, _this: str, arguments: Any, _session: str) -> str:
        path = self._path(arguments['name'])
        return self._started('DeleteVirtualDisk_Task', lambda: self._delete(path))

    def _delete(self, path: str) -> None:
        if path not in self.files:
            raise Fault('FileNotFound')
        is_held = self.is_running and path in self._disks().values()
        if is_held or path in self.locked:
            raise Fault('FileLocked')
        del self.files[path]

    def _CopyVirtualDisk_Task(self, _this: str, arguments: Any, _session: str) -> str:
        source, target = self._path(arguments['sourceName']), self._path(arguments['destName'])

        def copy() -> None:
            if source not in self.files:
                raise Fault('FileNotFound')
            if target in self.files:
                raise Fault('FileAlreadyExists')
            self.files[target] = b'inflated ' + self.files[source]

        return self._started('CopyVirtualDisk_Task', copy)

    def _ReconfigVM_Task(self, this: str, arguments: Any, _session: str) -> str:
        if this != MACHINE:
            raise Fault('ManagedObjectNotFound')
        changes = arguments['spec'].findall('{*}deviceChange')

        def change() -> None:
            disk, files = self.disk, dict(self.files)
            for each in changes:
                disk = self._changed(each, disk, files)
            self.disk, self.files = disk, files

        return self._started('ReconfigVM_Task', change)

    def _changed(
        self, change: ElementTree.Element, disk: str | None, files: dict[str, bytes]
    ) -> str | None:
        name = change.find('{*}device/{*}backing/{*}fileName')
        unit = (
            change.findtext('{*}device/{*}unitNumber'),
            change.findtext('{*}device/{*}controllerKey'),
        )
        path = self._path(name) if name is not None else ''
        if unit != ('0', '1000'):
            raise Fault('InvalidDeviceSpec')
        if change.findtext('{*}operation') == 'remove':
            if path != disk:
                raise Fault('InvalidDeviceSpec')
            if change.findtext('{*}fileOperation') == 'destroy':
                del files[path]
            return None
        if disk is not None or path not in files:
            raise Fault('InvalidDeviceSpec')
        return path


def _ref(name: str, kind: str, key: str) -> str:
    return f'<{name} type="{kind}">{key}</{name}>'


def _val(text: str) -> str:
    return f'<val xsi:type="xsd:string">{saxutils.escape(text)}</val>'


def _refval(kind: str, key: str) -> str:
    return f'<val type="{kind}" xsi:type="ManagedObjectReference">{key}</val>'


def _method_fault(fault: Fault) -> str:
    kind = fault.kind if fault.kind in TYPES else 'MethodFault'
    inner = '<file>f</file>' if TYPES[kind][0] == 'FileFault' else ''
    return (
        f'<fault xsi:type="{kind}">{inner}</fault><localizedMessage>{fault.text}</localizedMessage>'
    )


def _fault(fault: Fault) -> str:
    return (
        '<soapenv:Fault><faultcode>ServerFaultCode</faultcode>'
        f'<faultstring>{fault.text}</faultstring><detail>'
        f'<{fault.kind}Fault xmlns="{VIM}" xsi:type="{fault.kind}"/></detail></soapenv:Fault>'
    )


def _envelope(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="{XSI}">'
        f'<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
    )
