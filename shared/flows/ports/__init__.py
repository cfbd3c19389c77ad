"""What the flows need of the outside world, and no more than they call: one file per neighbour."""
