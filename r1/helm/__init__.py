"""Plans as values of the Helm chart, and the rules of plans as a table that the chart reads."""
