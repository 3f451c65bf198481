"""r1 beside others, in one run: interleaved rounds, medians and ranges, tables and plots."""
