# SPDX-License-Identifier: Apache-2.0
"""What there is on this machine, a noun a file: read from sysfs, changed by root functions."""
