"""The canary: what replicas compute is compared, so that none answers wrongly with status 200."""
