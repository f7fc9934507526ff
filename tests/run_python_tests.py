"""Runs the tests in Python of one folder, and reports them as cargo does.

    run_python_tests.py FOLDER [TEXT]

The tests are FOLDER/tests/test_*.py. With TEXT, only the tests whose names
contain it are run.
"""

import os
import sys
import unittest


class Result(unittest.TestResult):
    """Prints a line for each test. A subtest that fails lets its test fail."""

    def __init__(self):
        super().__init__()
        self._failed_before = 0
        self.passed = 0

    def failed(self):
        """Returns the number of failures, each of which has a report."""
        return len(self.failures) + len(self.errors) + len(self.unexpectedSuccesses)

    def startTest(self, test):
        """Remembers the failures of other tests."""
        super().startTest(test)
        self._failed_before = self.failed()

    def stopTest(self, test):
        """Prints the line of a test."""
        super().stopTest(test)
        passed = self.failed() == self._failed_before
        self.passed += passed
        print(f"test {test.id()} ... {'ok' if passed else 'FAILED'}", flush=True)

    def report(self):
        """Prints the failures and the result."""
        for test, text in self.failures + self.errors:
            print(f"\n---- {test.id()} ----\n{text}")
        ignored = len(self.skipped) + len(self.expectedFailures)
        state = "FAILED" if self.failed() else "ok"
        passed = self.passed - ignored
        print(f"\ntest result: {state}. {passed} passed; {self.failed()} failed; {ignored} ignored")


def main():
    """Runs the tests. Ends with 1 if one fails."""
    folder, *texts = sys.argv[1:]
    folder = os.path.abspath(folder)
    loader = unittest.TestLoader()
    if texts:
        loader.testNamePatterns = [f"*{text}*" for text in texts]
    tests = loader.discover(os.path.join(folder, "tests"), top_level_dir=folder)
    result = Result()
    name = os.path.basename(folder)
    print(f"\nrunning {tests.countTestCases()} tests of {name}", flush=True)
    tests.run(result)
    result.report()
    return 1 if result.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
