"""What an operator looks at: rendered by one command into the compose set-up and the chart."""
