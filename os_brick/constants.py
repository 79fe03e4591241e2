# SPDX-License-Identifier: Apache-2.0
"""Values that callers and storage back ends share with us.

``addressing_mode`` in connection properties says how the array spells a logical
unit number in the eight bytes of SAM (T10 SAM-5, section 4.7). Absent means
transparent, which is the number as it is.
"""

SCSI_ADDRESSING_TRANSPARENT = 'transparent'
SCSI_ADDRESSING_SAM = 'SAM'
SCSI_ADDRESSING_SAM2 = 'SAM2'
SCSI_ADDRESSING_SAM3_FLAT = 'SAM3-flat'

SCSI_ADDRESSING_MODES = (
    SCSI_ADDRESSING_TRANSPARENT,
    SCSI_ADDRESSING_SAM,
    SCSI_ADDRESSING_SAM2,
    SCSI_ADDRESSING_SAM3_FLAT,
)
