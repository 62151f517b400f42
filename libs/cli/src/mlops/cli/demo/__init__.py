# SPDX-License-Identifier: Apache-2.0
"""`mlops demo`: the closed loop on real data, from nothing to a report. Read `command` first."""
