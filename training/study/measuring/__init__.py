"""What is measured on one network: scenes with their truth, scores, strata, a probe."""
