"""The embedded images, and `make`, the script that drew them."""
