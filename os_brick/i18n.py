# SPDX-License-Identifier: Apache-2.0
"""Translation of messages that a user of a service may read."""

import oslo_i18n as i18n

DOMAIN = 'os-brick'

_translators = i18n.TranslatorFactory(domain=DOMAIN)

_ = _translators.primary
