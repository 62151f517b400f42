# SPDX-License-Identifier: Apache-2.0
"""What the bridge reacts to: projects, triggers, wishes about workflows, heat, and questions."""
