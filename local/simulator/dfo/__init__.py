"""The Digital Engagement API (DFO 3.0); the comments give the number of an assumption in section 13 of its facts."""
