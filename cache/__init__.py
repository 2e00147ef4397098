"""What was computed, kept in one DuckDB file. Imports nothing else of this project."""
