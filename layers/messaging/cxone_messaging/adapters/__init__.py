"""The clients of DynamoDB, SQS, Secrets Manager and CXone.

No `ClientError` and no client's exception passes above this floor.
"""
