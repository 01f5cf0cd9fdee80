"""The same work on Almanac, on its peers and on the bare floor, interleaved in one run, as ratios."""
