# SPDX-License-Identifier: Apache-2.0
"""A configuration of StorPool as ``storpool_utils.get_conf`` returns it, for cinder's tests."""

SP_CONF = {
    'SP_OURID': '1',
    'SP_API_HTTP_HOST': '127.0.0.1',
    'SP_API_HTTP_PORT': '81',
    'SP_AUTH_TOKEN': '1234567890',
}
