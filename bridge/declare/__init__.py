"""What a user declares, checked: topics, chains, pipelines."""
