"""The Lanes tab in Flower: the operators' page of the whole group.

One loop reads the bridges' states from Redis once a second, for all viewers together (`feed`); pages read that, buttons
write what `bridge.ledger.operators` keeps. Nothing here decides what a lane does.
"""
