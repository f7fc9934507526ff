"""A local AWS for tests: moto behind a front that verifies and disturbs calls.

The front checks the signature, the parameters and the rights of every call, as
AWS does and moto does not. It adds operations, delays and faults that moto
lacks. All rules come from the service models of botocore and from the
documentation of AWS, never from an adapter.
"""
