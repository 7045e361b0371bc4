"""The test kit that users import."""
