"""What the Helm chart runs in pods of its own, in the gateway's image."""
