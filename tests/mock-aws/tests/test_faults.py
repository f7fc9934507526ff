"""Faults on request, the log of calls, and the control API."""

import threading
import time

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from .support import TIMEOUT_SECONDS, Case, eventually


class Faults(Case):
    """Each kind of fault."""

    def setUp(self):
        """Makes a client."""
        super().setUp()
        self.organizations = self.client("organizations")
        self.unit = {"ParentId": self.facts()["root"], "Name": "P1"}

    def create(self):
        """Creates the unit."""
        return self.organizations.create_organizational_unit(**self.unit)

    def answered(self, type, status):
        """Expects a refusal that took no effect, and then success."""
        answer = self.refused(type, self.create)
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], status)
        self.assertEqual(self.state()["units"], [])
        self.create()

    def test_throttles_have_the_status_400_and_the_type_of_the_service(self):
        gov = self.facts("aws-us-gov")
        period = {"Start": "2026-01-01", "End": "2026-02-01"}
        costs = {"TimePeriod": period, "Granularity": "MONTHLY", "Metrics": ["UnblendedCost"]}
        for endpoint, operation, parameters, type in [
            ("organizations", "list_roots", {}, "TooManyRequestsException"),
            (
                "identitystore-gov",
                "list_users",
                {"IdentityStoreId": gov["identity_store"]},
                "ThrottlingException",
            ),
            ("sso-gov", "list_instances", {}, "ThrottlingException"),
            ("ce", "get_cost_and_usage", costs, "LimitExceededException"),
            ("sts", "get_caller_identity", {}, "Throttling"),
        ]:
            with self.subTest(endpoint):
                self.fault("throttle-400")
                call = getattr(self.client(endpoint), operation)
                answer = self.refused(type, call, **parameters)
                self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 400)
                call(**parameters)

    def test_errors_of_the_service_take_no_effect(self):
        for kind, type, status in [
            ("500", "ServiceException", 500),
            ("503", "ServiceUnavailableException", 503),
            ("expired-token", "ExpiredTokenException", 400),
            ("invalid-token", "UnrecognizedClientException", 400),
            ("access-denied", "AccessDeniedException", 400),
            ("concurrent", "ConcurrentModificationException", 400),
            ("conflict", "ConflictException", 400),
        ]:
            with self.subTest(kind):
                self.control("POST", "reset", {})
                self.fault(kind, "CreateOrganizationalUnit")
                self.answered(type, status)

    def test_an_error_can_be_any_other(self):
        self.fault(
            "error",
            type="FinalizingOrganizationException",
            message="Wait an hour",
            status=400,
        )
        self.answered("FinalizingOrganizationException", 400)
        self.fault("error", type="ConstraintViolationException", reason="OU_NUMBER_LIMIT_EXCEEDED")
        answer = self.refused("ConstraintViolationException", self.create)
        self.assertEqual(answer["Reason"], "OU_NUMBER_LIMIT_EXCEEDED")

    def test_an_error_can_come_after_the_effect(self):
        self.fault("500", effect=True)
        self.refused("ServiceException", self.create)
        self.assertEqual(len(self.state()["units"]), 1)
        [call] = self.calls("CreateOrganizationalUnit")
        self.assertEqual((call["accepted"], call["status"]), (True, 500))

    def test_a_connection_is_cut_before_the_effect(self):
        self.fault("drop-before")
        with self.assertRaises(ConnectionClosedError):
            self.create()
        self.assertEqual(self.state()["units"], [])
        [call] = self.calls("CreateOrganizationalUnit")
        self.assertEqual((call["accepted"], call["status"]), (False, None))

    def test_a_connection_is_cut_after_the_effect(self):
        self.fault("drop-after")
        with self.assertRaises(ConnectionClosedError):
            self.create()
        self.assertEqual(len(self.state()["units"]), 1)
        [call] = self.calls("CreateOrganizationalUnit")
        self.assertEqual((call["accepted"], call["status"]), (True, None))
        self.refused("DuplicateOrganizationalUnitException", self.create)

    def test_a_slow_answer_comes_late_and_holds_up_no_other(self):
        self.fault("slow", "CreateOrganizationalUnit", seconds=0.3)
        started_at = time.monotonic()
        self.create()
        self.assertGreaterEqual(time.monotonic() - started_at, 0.3)
        self.fault("slow", "ListRoots", seconds=60)
        impatient = self.client("organizations", config={"read_timeout": 0.2})
        with self.assertRaises(ReadTimeoutError):
            impatient.list_roots()
        self.organizations.list_accounts()

    def test_a_held_connection_is_dropped_on_release_or_by_a_reset(self):
        for kind, end, units in [("drop-before", "release", 0), ("drop-after", "reset", 1)]:
            with self.subTest(kind):
                self.control("POST", "reset", {})
                self.fault(kind, "CreateOrganizationalUnit", held=True)
                dropped = []
                thread = threading.Thread(target=lambda: dropped.append(self.dropped()))
                thread.start()
                # Other calls go on while one is held.
                eventually(self.is_held)
                self.organizations.list_accounts()
                self.assertEqual(len(self.state()["units"]), units)
                self.assertTrue(thread.is_alive())
                self.control("POST", end, {})
                # Half of the longest hold.
                thread.join(TIMEOUT_SECONDS)
                self.assertEqual(dropped, [True])

    def is_held(self):
        """Returns true while the creation of the unit is held."""
        return any(call["held"] for call in self.calls("CreateOrganizationalUnit"))

    def dropped(self):
        """Returns true if the connection is closed without an answer."""
        try:
            self.create()
        except ConnectionClosedError:
            return True
        return False

    def test_a_skewed_clock_refuses_signatures_and_tells_its_time(self):
        self.fault("skew", seconds=600)
        answer = self.refused("InvalidSignatureException", self.create)
        self.assertIn("Signature expired", answer["Error"]["Message"])
        now = self.organizations.list_roots()["ResponseMetadata"]["HTTPHeaders"]["date"]
        self.assertNotEqual(answer["ResponseMetadata"]["HTTPHeaders"]["date"], now)
        self.create()

    def test_an_answer_can_be_malformed(self):
        self.fault("malformed")
        self.assertNotIn("OrganizationalUnit", self.create())
        self.assertEqual(len(self.state()["units"]), 1)

    def test_a_fault_never_hides_a_wrong_signature(self):
        key = {**self.document["credentials"]["management"], "secret_access_key": "wrong"}
        self.fault("throttle-400")
        client = self.client("organizations", key)
        self.refused("InvalidSignatureException", client.list_roots)

    def test_faults_fit_operations_and_endpoints_and_are_counted(self):
        self.fault("500", "CreateOrganizationalUnit", times=2, skip=1)
        self.fault("503", endpoint="organizations-gov")
        self.organizations.list_roots()
        self.create()
        for _ in range(2):
            self.refused("ServiceException", self.create)
        self.refused("DuplicateOrganizationalUnitException", self.create)
        self.assertEqual(len(self.control("GET", "faults")), 1)
        gov = self.client("organizations-gov")
        self.refused("ServiceUnavailableException", gov.list_roots)
        self.assertEqual(self.control("GET", "faults"), [])


class Control(Case):
    """The control API."""

    def test_calls_tell_service_region_account_and_body(self):
        client = self.client("organizations-gov")
        client.list_parents(ChildId="200000000002")
        [call] = self.control("GET", "calls")
        expected = {
            "number": 1,
            "endpoint": "organizations-gov",
            "service": "organizations",
            "region": "us-gov-west-1",
            "method": "POST",
            "target": "/",
            "operation": "ListParents",
            "body": {"ChildId": "200000000002"},
            "account": "200000000002",
            "caller": "arn:aws-us-gov:iam::200000000002:user/management",
            "status": 200,
            "accepted": True,
            "error": None,
            "fault": None,
        }
        self.assertEqual({name: call[name] for name in expected}, expected)
        target = "AWSOrganizationsV20161128.ListParents"
        self.assertEqual(call["headers"]["x-amz-target"], target)

    def test_wrong_questions_are_answered_with_a_sentence(self):
        for path, value, text in [
            ("faults", {"kind": "unknown"}, "`kind` must be one of"),
            ("faults", {"kind": "500", "time": 1}, "a fault has no time"),
            ("faults", {"kind": "error"}, "an `error` needs a `type`"),
            ("faults", {"kind": "slow"}, "`seconds` must be at most 120"),
            ("faults", {"kind": "500", "held": True}, "`held` is for drop-before and drop-after"),
            ("settings", {"polls": 1}, "not polls"),
            ("settings", {"page_size": "1"}, "page_size must be of the type"),
            ("costs", {"cost": {}}, "not cost"),
            ("costs", {"costs": {"1": {"yesterday": "1"}}}, "is not a date"),
            ("reset", {"seed": "a"}, "`seed` must be a whole number"),
            ("unknown", {}, "the control API has GET /control/facts"),
        ]:
            answer = self.control("POST", path, value)
            self.assertIsInstance(answer, str, path)
            self.assertIn(text, answer)

    def test_a_reset_forgets_everything(self):
        before = self.control("GET", "state")
        self.account()
        self.fault("500")
        self.settings(page_size=1)
        self.control("POST", "reset", {})
        self.assertEqual(self.control("GET", "state"), before)
        self.assertEqual(self.control("GET", "faults"), [])
        self.assertEqual(self.control("GET", "calls"), [])
        self.assertEqual(self.control("POST", "settings", {})["page_size"], 20)
