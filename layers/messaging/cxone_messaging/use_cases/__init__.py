"""The use cases, in a folder for each capability; the modules beside the folders serve several of them."""
