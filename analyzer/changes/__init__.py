"""What is new, gone or changed between two reports, and what grows over several readings."""
