# SPDX-License-Identifier: Apache-2.0
"""The consumers' own unit tests, as a check that nothing that they rely on is different."""
