"""A contact sheet: every panel drawn from a live Prometheus, for whoever has no Grafana."""
