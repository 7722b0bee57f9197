"""The embedded images, drawn by `kflow.reproduce.embedded`."""
