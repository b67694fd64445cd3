"""What follows from the results: differences, margins, aims, and the words that they carry."""
