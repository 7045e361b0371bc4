"""`lanebridge doctor`: looks at everything a bridge needs, and says what is wrong and what to do about it."""
