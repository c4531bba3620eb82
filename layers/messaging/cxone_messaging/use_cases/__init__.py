"""The use cases, in a folder for each capability.

The modules beside the folders serve several of them.
"""
