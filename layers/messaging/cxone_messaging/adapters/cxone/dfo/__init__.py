"""NICE's Digital Engagement API, "DFO 3.0", as its published specifications and code show it."""
