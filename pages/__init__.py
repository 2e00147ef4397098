"""The pages of the app, and what they share (parts) and draw (figures)."""
