"""Where facts come from: snapshots, dumps taken by hand, live clusters."""
