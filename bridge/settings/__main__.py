"""`python -m bridge.settings` prints the tables of docs/options.md."""

from bridge.settings import options_table, pipeline_options_table

print(options_table(), pipeline_options_table(), sep="\n")
