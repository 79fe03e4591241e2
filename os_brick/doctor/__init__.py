# SPDX-License-Identifier: Apache-2.0
"""What is wrong with this host for block storage, and what to type: ``os-brick doctor``.

``catalogue.toml`` has the findings as data. ``readers`` fill :class:`facts.Facts` with what is
effective (the kernel's and multipathd's own words, not files of configuration where there is a
choice), ``rules`` are pure functions from facts to cases, ``examine`` puts the two together.
"""
