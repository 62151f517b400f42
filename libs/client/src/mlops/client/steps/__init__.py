# SPDX-License-Identifier: Apache-2.0
"""The steps of a workflow: `python -m mlops.client.steps data|train|evaluate|register`.

They run where Airflow's tasks run, talk to the gateway and to MLflow over HTTP, and start the project's own
commands in the project's own environment. Each can be run again: what was done is found, not done twice.
Exit status: 0 done, 65 it can never work, 75 a part of the platform was away, 143 stopped.
"""
