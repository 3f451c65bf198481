"""The gateway under more load than its model can take."""
