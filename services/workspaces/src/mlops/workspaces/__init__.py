# SPDX-License-Identifier: Apache-2.0
"""Projects: registration, settings and what each service has provisioned for them. Read `app` first."""
