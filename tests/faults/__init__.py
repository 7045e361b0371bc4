"""Real processes under faults: cells that anyone can run, and a pure checker of what they wrote down."""
