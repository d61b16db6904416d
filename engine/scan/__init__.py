"""`runbook scan`: from names of logs to incidents in order of cause, and what is kept of them."""
