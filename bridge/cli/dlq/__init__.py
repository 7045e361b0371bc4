"""`lanebridge dlq`: what was given up, and how it goes back."""
