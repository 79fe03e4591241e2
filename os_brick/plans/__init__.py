# SPDX-License-Identifier: Apache-2.0
"""What is to be done, decided from facts alone: frozen data in, frozen data out, no I/O."""
