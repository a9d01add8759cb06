"""A stand-in for the Azure Functions host, around the worker's own library (PyPI `azure-functions-runtime`)."""
