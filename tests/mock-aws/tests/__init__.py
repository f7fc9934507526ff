"""Tests of the local AWS with boto3 and real signatures."""
