"""How a record's value says when it was sent, and how a worker notes what it saw: nanoseconds of CLOCK_MONOTONIC,
which is one clock for all processes of a machine."""

from struct import Struct

#: a value begins with when it was given to the producer
SENT = Struct(">q")

#: partition, offset, when it was sent, when its task began
Note = Struct(">iqqq")
