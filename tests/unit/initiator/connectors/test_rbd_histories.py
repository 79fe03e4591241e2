# SPDX-License-Identifier: Apache-2.0
"""Histories of a host with images of one name in two clusters: no wrong image, ever."""

import contextlib
import itertools
import pathlib
import tempfile

import hypothesis
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.initiator.connectors import rbd
from tests import breadth
from tests.unit.fakehost import ceph

CLUSTERS, NAMES = 2, ('rbd/v1', 'other/v1')
VOLUMES = st.tuples(st.integers(0, CLUSTERS - 1), st.sampled_from(NAMES))
CLUSTERS_AND_NAMES = list(itertools.product(range(CLUSTERS), NAMES))
ACTS = st.tuples(
    st.sampled_from(('attach', 'detach', 'forget', 'extend', 'by hand', 'anew', 'move', 'kill')),
    VOLUMES,
)


class History:
    """A host, and which device was handed out for which volume."""

    def __init__(self, host: ceph.RbdHost) -> None:
        self.host = host
        self.clusters = [host.cluster(f'c{number}') for number in range(CLUSTERS)]
        for cluster in self.clusters:
            for name in NAMES:
                cluster.image('v1', pool=name.partition('/')[0])
        self.brick = rbd.RBDConnector(None, do_local_attach=True)
        self.handed: dict[tuple[int, str], dict[str, str]] = {}
        self.address = 10

    def do(self, what: str, volume: tuple[int, str]) -> None:
        number, name = volume
        cluster, pool = self.clusters[number], name.partition('/')[0]
        given = cluster.properties(name)
        others = self.others(volume)
        if what == 'attach':
            self.handed[volume] = self.brick.connect_volume(given)
            made = self.host.rbd[int(self.handed[volume]['path'].removeprefix('/dev/rbd'))]
            assert (made.cluster, made.pool) == (cluster, pool)
            assert made.image is cluster.images[pool, '', 'v1']
            assert not made.read_only
        elif what in ('detach', 'forget'):
            info = self.handed.pop(volume, None) if what == 'detach' else None
            # Another image that once had the name is not touched: it may have been renamed, and
            # be in use.
            had = self.image_of(info) or cluster.images[pool, '', 'v1']
            self.brick.disconnect_volume(given, info)
            own = [each for each in self.of(volume) if each.image is had]
            assert not [each for each in own if 'key=os-brick' in each.told]
        elif what == 'extend':
            cluster.images[pool, '', 'v1'].size += 1 << 20
            # A map of the image that had the name before is not the volume's.
            image = cluster.images[pool, '', 'v1']
            if any(each.image is image for each in self.of(volume)):
                assert self.brick.extend_volume(given) == image.size
            else:
                with pytest.raises(exception.VolumePathsNotFound):
                    self.brick.extend_volume(given)
        elif what == 'kill':
            self.host.fail(number + 1, 'killed')
            with contextlib.suppress(exception.BrickException, OSError):
                self.brick.connect_volume(given)
            self.host.revive()
        else:
            self.elsewhere(what, cluster, pool)
        for each in CLUSTERS_AND_NAMES:
            paths = self.brick.get_volume_paths(self.clusters[each[0]].properties(each[1]))
            assert set(paths) <= {f'/dev/rbd{made.number}' for made in self.of(each)}
        assert others <= {id(each) for each in self.host.rbd.values()}

    def elsewhere(self, what: str, cluster: ceph.Cluster, pool: str) -> None:
        """What others do: map it, make the image anew, give the cluster another monitor."""
        if what == 'by hand':
            self.host.map_by_hand(cluster, 'v1', pool=pool)
        elif what == 'anew':
            cluster.image('v1', pool=pool)
        else:
            self.address += 1
            cluster.monitors = {f'10.0.0.{self.address}:6789'}

    def image_of(self, info: dict[str, str] | None) -> object:
        """The image whose device was handed out; ``None`` if none was, or it has gone."""
        if info is None:
            return None
        made = self.host.rbd.get(int(info['path'].removeprefix('/dev/rbd')))
        return made.image if made is not None else None

    def of(self, volume: tuple[int, str]) -> list[ceph.Map]:
        """The maps of a volume's cluster and name."""
        cluster, pool = self.clusters[volume[0]], volume[1].partition('/')[0]
        return [
            each
            for each in self.host.rbd.values()
            if each.cluster is cluster and each.pool == pool and 'os-brick-probe' not in each.told
        ]

    def others(self, volume: tuple[int, str]) -> set[int]:
        """The maps that an act on a volume must not touch: those of all other volumes."""
        kept = [each for each in self.host.rbd.values() if 'os-brick-probe' not in each.told]
        own = self.of(volume)
        return {id(each) for each in kept if each not in own}


@hypothesis.settings(max_examples=breadth.examples(60, 1500))
@hypothesis.given(st.lists(ACTS, max_size=14))
@hypothesis.example([(what, (0, NAMES[0])) for what in ('attach', 'move', 'by hand', 'detach')])
@hypothesis.example([(what, (0, NAMES[0])) for what in ('attach', 'anew', 'extend')])
@hypothesis.example([(what, (0, NAMES[0])) for what in ('attach', 'anew', 'attach', 'extend')])
@hypothesis.example([('attach', (1, NAMES[0])), ('kill', (0, NAMES[0])), ('extend', (0, NAMES[0]))])
def test_no_history_leads_to_a_wrong_image(acts: list[tuple[str, tuple[int, str]]]) -> None:
    with tempfile.TemporaryDirectory() as place, ceph.RbdHost(pathlib.Path(place)) as host:
        history = History(host)
        for what, volume in acts:
            history.do(what, volume)
