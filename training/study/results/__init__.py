"""What is kept: one JSON file an arm and seed, read strictly, and the plan to judge them by."""
