"""Dashboards as data, one file each, and their rendering into Grafana's JSON."""
