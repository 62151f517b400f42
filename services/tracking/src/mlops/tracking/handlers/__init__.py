# SPDX-License-Identifier: Apache-2.0
"""What tracking reacts to: projects.py (their part in MLflow) and gate.py (who becomes champion)."""
