"""Azure on loopback for tests and the demo: Entra's token endpoint, Azure
Resource Manager and Microsoft Graph.

Written from the models in Microsoft's SDK for Python, and held to that SDK by
the tests beside this package. README.md says how to use it.
"""
