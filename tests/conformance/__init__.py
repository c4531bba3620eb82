"""What any implementation of an API of CXone's must show. Each brings a `Dialect`, and a page that maps it to ours."""
