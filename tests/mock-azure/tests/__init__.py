"""Tests of the mock by Microsoft's own SDK. Run from the folder above:

python -m unittest
"""
