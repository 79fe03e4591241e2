# SPDX-License-Identifier: Apache-2.0
"""Values of the storage world without I/O: addresses, names, identities, on-disk records."""
