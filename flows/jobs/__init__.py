"""What the flows do, without Prefect: each job is a plain function that a flow, a command or a test calls."""
