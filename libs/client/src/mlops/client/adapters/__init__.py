# SPDX-License-Identifier: Apache-2.0
"""What touches MLflow and the frameworks of models; each module is imported when a method needs it."""
