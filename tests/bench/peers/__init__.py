"""The same work as others would write it: one short file each, compared with kflow in one run.

x (n, d) are the points, y (n, c) the labels, fine and coarse a draw of the game; gamma is the
bandwidth of the Gaussian, delta the largest displacement of a batch point. Every layer returns
the moved points.
"""
