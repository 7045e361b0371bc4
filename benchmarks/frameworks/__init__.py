"""Other frameworks doing the same: batches of so many records, nothing done with them, committed after each batch.

Each script runs alone in an environment that has the framework and Python, with MEASURED_* in its environment."""
