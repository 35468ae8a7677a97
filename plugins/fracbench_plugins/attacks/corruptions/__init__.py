"""Corruptions met in radiography, each with five severities (after Hendrycks and Dietterich 2019, arXiv 1903.12261)."""
