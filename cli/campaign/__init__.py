"""`cxone-messaging campaign`: a message to all numbers in a CSV file: previewed, sent, and watched."""
