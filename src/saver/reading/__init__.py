"""What is in trees, read without building any of it. Families say what their codecs write."""
