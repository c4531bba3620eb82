"""How the floors are put together, a module for each thing that functions do, so that none imports what it never needs.

Each use case is built once, at a function's first request.
"""
