"""What pages share: choices in the URL, cached readings, small pieces of interface."""
