"""What the model page shows, each part a file of its own."""
