"""What talks to DynamoDB, Secrets Manager and CXone; above this floor nobody sees a `ClientError` or a status code."""
