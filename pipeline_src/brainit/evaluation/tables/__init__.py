"""The paper's tables, made from the scores of all runs."""
