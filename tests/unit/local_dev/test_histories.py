# SPDX-License-Identifier: Apache-2.0
"""Any history of calls, with crashes and changes by others in between: no other volume is lost."""

import copy

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st
from oslo_concurrency import processutils

from os_brick import exception
from os_brick.core import clock
from os_brick.local_dev import lvm
from tests import breadth
from tests.unit import seams
from tests.unit.local_dev import simulated

NAMES = st.sampled_from(['a', 'b', 'c+._-1', '_snapshot-1', 'snapshot-1', 'gold-pool', '', 'x/y'])
SIZES = st.sampled_from(['4m', '8m', '64m', '2g', '+4m', '0', 'x'])
EXPECTED = (exception.BrickException, processutils.ProcessExecutionError)
TOOLS = st.sampled_from(['lvcreate *', 'lvremove *', 'lvextend *', 'lvchange *', 'lvs *'])


class Histories(stateful.RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.host = simulated.Lvm2()
        self.host.group('gold')
        self.host.group('silver').volumes['a'] = simulated.Volume(simulated.EXTENT)
        self.clock = clock.use(seams.Clock())
        self.clock.__enter__()
        self.vg = lvm.LVM('gold', 'sudo', executor=self.host)
        self.silver = copy.deepcopy(self.host.groups['silver'])

    def teardown(self):
        self.clock.__exit__(None, None, None)

    @property
    def volumes(self):
        return self.host.groups['gold'].volumes

    def _call(self, act, touched):
        """Only ``touched`` may come, go or change; after an error nothing has come or gone."""
        before = copy.deepcopy(self.volumes)
        try:
            act()
            failed = False
        except EXPECTED:
            failed = True
        self.host.hooks.clear()
        others = (before.keys() | self.volumes.keys()) - touched
        for name in others:
            assert self.volumes[name] == before[name], name
        if failed:
            assert self.volumes.keys() == before.keys()

    @stateful.rule(name=NAMES, size=SIZES, mirrors=st.integers(0, 2))
    def create(self, name, size, mirrors):
        self._call(lambda: self.vg.create_volume(name, size, mirror_count=mirrors), {name})

    @stateful.rule(name=NAMES, size=SIZES)
    def create_thin(self, name, size):
        self._call(lambda: self.vg.create_volume(name, size, lv_type='thin'), {name})

    @stateful.rule()
    def create_pool(self):
        self._call(self.vg.create_thin_pool, {'gold-pool'})

    @stateful.rule(name=NAMES, source=NAMES, kind=st.sampled_from(['thin', 'default']))
    def snapshot(self, name, source, kind):
        thin = source in self.volumes and self.volumes[source].kind == 'V'
        if thin == (kind == 'thin'):
            self._call(lambda: self.vg.create_lv_snapshot(name, source, kind), {name})

    @stateful.rule(name=NAMES)
    def delete(self, name):
        self._call(lambda: self.vg.delete(name), {name})

    @stateful.rule(name=NAMES, size=SIZES)
    def extend(self, name, size):
        active = name in self.volumes and self.volumes[name].active
        self._call(lambda: self.vg.extend_volume(name, size), {name})
        if active:
            assert self.volumes[name].active

    @stateful.rule(name=NAMES, permanent=st.booleans())
    def activate(self, name, permanent):
        touched = {lvm.LVM._mangle_lv_name(name)}
        self._call(lambda: self.vg.activate_lv(name, permanent=permanent), touched)

    @stateful.rule(name=NAMES)
    def deactivate(self, name):
        self._call(lambda: self.vg.deactivate_lv(name), {lvm.LVM._mangle_lv_name(name)})

    @stateful.rule(pattern=TOOLS)
    def crash_next(self, pattern):
        self.host.before(pattern, self.host.crash)

    @stateful.rule()
    def ask(self):
        try:
            listed = {volume['name'] for volume in self.vg.get_volumes()}
        except processutils.ProcessExecutionError:
            return  # It has crashed three times.
        assert listed == set(self.volumes)

    @stateful.rule()
    def update(self):
        before = copy.deepcopy(self.volumes)
        try:
            self.vg.update_volume_group_info()
        except EXPECTED:
            return
        assert self.vg.vg_lv_count == len(before)

    @stateful.invariant()
    def other_groups_are_as_they_were(self):
        assert self.host.groups['silver'] == self.silver


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis.settings(max_examples=breadth.examples(40, 1000), deadline=None)
