"""The runtime: settings, clock, telemetry, AWS clients, HTTP requests and answers."""
