# SPDX-License-Identifier: Apache-2.0
"""The steps of a workflow: `python -m mlops.client.steps data|train|evaluate|register`, and two of federated ones.

They run where Airflow's tasks run, talk to the gateway and to MLflow over HTTP, and start the project's own
commands in the project's own environment. Each can be run again: what was done is found, not done twice.
Exit status: 0 done, 65 it can never work, 69 a part of the platform was away, 75 it left its machine to go on later, 76
likewise with nothing saved, 143 stopped.
"""
