"""What Lanebridge costs, measured on real parts. Figures are medians of several windows, with their spread."""
