"""The API of the two source documents: SMS API v2, and the messaging administration API."""
