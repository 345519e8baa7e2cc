"""Pictures of what the gates do and what they know, as PNG files."""
