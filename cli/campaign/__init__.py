"""`cxone-messaging campaign`: a message to everybody in a CSV file, previewed, sent in bulk, and watched to its end."""
