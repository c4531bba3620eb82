"""The runtime that everything stands on: settings, clock, telemetry, AWS clients, HTTP requests and answers."""
