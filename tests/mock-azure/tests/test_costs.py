"""Queries of costs, by azure-mgmt-costmanagement."""

from datetime import date

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineContext
from azure.core.pipeline import PipelineRequest
from azure.core.rest import HttpRequest

from mock_azure.costs import back
from mock_azure.costs import months_between

from .support import GROUPS
from .support import MockTest
from .support import json_bytes


def query(start="2026-01-01", end="2026-03-31", granularity="Monthly", **dataset):
    return {
        "type": "ActualCost",
        "timeframe": "Custom",
        "timePeriod": {"from": f"{start}T00:00:00Z", "to": f"{end}T23:59:59Z"},
        "dataset": {
            "granularity": granularity,
            "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
            **dataset,
        },
    }


def dimension(name, *values):
    return {"dimensions": {"name": name, "operator": "In", "values": list(values)}}


class Costs(MockTest):
    def setUp(self):
        super().setUp()
        self.set(today="2026-11-29")
        self.make_group("p1")
        self.make_group("p2", parent="p1")
        self.first = self.make_subscription("E1", "p1")
        self.second = self.make_subscription("E2", "p2")
        self.third = self.make_subscription("E3")
        self.add(self.first, "2026-01-10", "1.5", ServiceName="Storage")
        self.add(self.first, "2026-01-20", "0.1", ServiceName="SQL")
        self.add(self.first, "2026-02-01", "0.2", ServiceName="SQL")
        self.add(self.second, "2026-02-03", "4")
        self.add(self.third, "2026-02-04", "8")

    def add(self, subscription, day, cost, **more):
        self.control.post(
            "costs", {"subscriptionId": subscription, "date": day, "cost": cost, **more}
        )

    def ask(self, body=None, scope=None):
        return self.azure.costs.query.usage(scope or GROUPS + "p1", body or query())

    def rows(self, body=None, scope=None):
        """Returns the rows as dicts by the names of the columns."""
        result = self.ask(body, scope)
        names = [column.name for column in result.columns]
        return [dict(zip(names, row, strict=True)) for row in result.rows]

    def test_months_of_all_subscriptions_below_a_group(self):
        self.assertEqual(
            self.rows(),
            [
                {"Cost": 1.6, "BillingMonth": "2026-01-01T00:00:00", "Currency": "USD"},
                {"Cost": 4.2, "BillingMonth": "2026-02-01T00:00:00", "Currency": "USD"},
            ],
        )

    def test_the_root_has_the_costs_of_all_levels(self):
        self.make_group("p3", parent="p2")
        self.add(self.make_subscription("E4", "p3"), "2026-02-05", "16")
        found = [row["Cost"] for row in self.rows(scope=GROUPS + self.urls["tenant"])]
        self.assertEqual(found, [1.6, 28.2])

    def test_days_of_one_subscription(self):
        body = query("2026-01-01", "2026-01-31", "Daily")
        found = [
            (row["UsageDate"], row["Cost"])
            for row in self.rows(body, f"/subscriptions/{self.first}")
        ]
        self.assertEqual(found, [(20260110, 1.5), (20260120, 0.1)])

    def test_a_filter_by_subscription(self):
        body = query(filter=dimension("SubscriptionId", self.second))
        self.assertEqual([row["Cost"] for row in self.rows(body)], [4.0])
        both = {"and": [dimension("SubscriptionId", self.first), dimension("ServiceName", "sql")]}
        self.assertEqual([row["Cost"] for row in self.rows(query(filter=both))], [0.1, 0.2])
        either = {"or": both["and"]}
        self.assertEqual([row["Cost"] for row in self.rows(query(filter=either))], [1.6, 0.2])
        tags = {"tags": {"name": "hoth-clin", "operator": "In", "values": ["x"]}}
        self.assertEqual(self.rows(query(filter=tags)), [])

    def test_groups_by_subscription(self):
        body = query(grouping=[{"type": "Dimension", "name": "SubscriptionId"}])
        found = {
            (row["SubscriptionId"], row["BillingMonth"][:7]): row["Cost"] for row in self.rows(body)
        }
        self.assertEqual(
            found,
            {
                (self.first, "2026-01"): 1.6,
                (self.first, "2026-02"): 0.2,
                (self.second, "2026-02"): 4.0,
            },
        )

    def test_columns_come_in_changing_order(self):
        orders = {tuple(column.name for column in self.ask().columns) for _ in range(3)}
        self.assertEqual(len(orders), 3)

    def test_each_currency_has_its_rows(self):
        self.add(self.first, "2026-01-30", "3", currency="EUR")
        found = [
            (row["Currency"], row["Cost"])
            for row in self.rows()
            if "2026-01" in row["BillingMonth"]
        ]
        self.assertEqual(found, [("EUR", 3.0), ("USD", 1.6)])

    def test_amounts_may_have_exponents(self):
        self.control.post("reset")
        id = self.make_subscription("E1")
        self.add(id, "2026-01-01", "0.000012")
        self.assertEqual(self.rows(scope=f"/subscriptions/{id}")[0]["Cost"], 1.2e-05)

    def test_pages_are_posts_of_the_same_body(self):
        self.set(cost_page_rows=1)
        first = self.ask()
        self.assertEqual(len(first.rows), 1)
        link = first.next_link
        more = self.post(link, query()).json()["properties"]
        self.assertEqual(
            [column["name"] for column in more["columns"]],
            [column.name for column in first.columns],
        )
        self.assertIsNone(more["nextLink"])
        self.assertEqual(len(more["rows"]), 1)
        self.assertNotEqual(more["rows"], first.rows)
        self.assertEqual(self.post(link, query(end="2026-02-01")).status_code, 400)

    def post(self, url, body):
        request = HttpRequest(
            "POST", url, content=json_bytes(body), headers={"Content-Type": "application/json"}
        )
        request = PipelineRequest(request, PipelineContext(None))
        self.azure.policy("https://management.azure.com/.default").on_request(request)
        return self.azure.graph.client._pipeline._transport.send(request.http_request)

    def test_no_content(self):
        self.fault("costs.query", "no-content")
        self.assertIsNone(self.ask())

    def test_no_costs_are_no_rows(self):
        self.assertEqual(self.ask(query("2025-01-01", "2025-12-31")).rows, [])

    def test_a_long_period_is_cut_without_a_word(self):
        for day in ("2024-12-31", "2025-04-15", "2025-05-15"):
            self.add(self.first, day, "1")
        months = [row["BillingMonth"][:7] for row in self.rows(query("2024-12-01", "2026-04-30"))]
        self.assertEqual(months, ["2025-05", "2026-01", "2026-02"])
        days = self.rows(query("2026-01-01", "2026-02-19", "Daily"))
        self.assertEqual([row["UsageDate"] for row in days], [20260120, 20260201, 20260203])
        self.refused(400, "BadRequest", self.ask, query("2023-01-01", "2026-03-31"))

    def test_a_period_from_end_to_start_is_turned_around(self):
        self.assertEqual(self.rows(query("2026-03-31", "2026-01-01")), self.rows())

    def test_the_future_has_no_costs(self):
        self.add(self.first, "2026-11-29", "1")
        self.add(self.first, "2026-11-30", "2")
        body = query("2026-11-01", "2026-12-31")
        self.assertEqual([row["Cost"] for row in self.rows(body)], [1.0])
        # A period in the future becomes that of the last year.
        body = query("2027-01-01", "2027-01-31")
        self.assertEqual([row["Cost"] for row in self.rows(body)], [1.6])

    def test_named_periods(self):
        self.set(today="2026-02-05")
        for name, expected in (
            ("MonthToDate", [4.2]),
            ("TheLastMonth", [1.6]),
            ("WeekToDate", [4.0]),
        ):
            with self.subTest(name=name):
                body = {**query(), "timeframe": name}
                del body["timePeriod"]
                self.assertEqual([row["Cost"] for row in self.rows(body)], expected)

    def test_months_are_counted_and_gone_back(self):
        for start, end, months in (
            ("2026-01-01", "2026-01-31", 1),
            ("2023-11-01", "2026-11-30", 37),
            ("2023-10-31", "2026-11-30", 37),
            ("2023-10-30", "2026-11-30", 38),
        ):
            found = months_between(date.fromisoformat(start), date.fromisoformat(end))
            self.assertEqual(found, months, (start, end))
        self.assertEqual(back(date(2026, 3, 31), 1), date(2026, 2, 28))
        self.assertEqual(back(date(2026, 1, 15), 12), date(2025, 1, 15))
        self.assertEqual(back(date(2026, 1, 31), 2), date(2025, 11, 30))

    def test_what_azure_refuses(self):
        sum = {"name": "Cost", "function": "Sum"}
        for change, code in (
            ({"timePeriod": None}, "BadRequest"),
            ({"timeframe": "TheLastYear"}, "InvalidRequestContent"),
            ({"type": "Costs"}, "InvalidRequestContent"),
            (
                {"dataset": {"aggregation": {"a": {"name": "Quantity", "function": "Sum"}}}},
                "BadRequest",
            ),
            ({"dataset": {"aggregation": {name: sum for name in "abc"}}}, "BadRequest"),
            ({"dataset": {"granularity": "Hourly"}}, "InvalidRequestContent"),
            ({"dataset": {"filter": {"and": [dimension("SubscriptionId", "x")]}}}, "BadRequest"),
            ({"dataset": {"filter": {"dimension": {}}}}, "InvalidRequestContent"),
            ({"dataset": None}, "InvalidRequestContent"),
        ):
            with self.subTest(change=change):
                self.refused(400, code, self.ask, json_bytes({**query(), **change}))
        self.refused(404, "NotFound", self.ask, scope=GROUPS + "p9")

    def test_management_groups_have_no_costs_under_a_customer_agreement(self):
        self.set(agreement="MCA")
        self.refused(400, "BadRequest", self.ask)
        self.assertEqual(len(self.rows(scope=f"/subscriptions/{self.first}")), 2)

    def test_throttling_has_a_family_of_headers(self):
        families = {"qpu": 3, "entity": 11, "tenant": 5}
        self.fault("costs.query", "throttle-429", families=families)
        with self.assertRaises(HttpResponseError) as caught:
            self.ask()
        error = caught.exception
        self.assertEqual((error.status_code, error.error.code), (429, "429"))
        prefix = "x-ms-ratelimit-microsoft.costmanagement"
        found = {name: error.response.headers[f"{prefix}-{name}-retry-after"] for name in families}
        self.assertEqual(found, {"qpu": "3", "entity": "11", "tenant": "5"})
        self.assertNotIn("retry-after", error.response.headers)
        self.fault("costs.query", "throttle-429", retry_after_s=1)
        with self.assertRaises(HttpResponseError) as caught:
            self.ask()
        self.assertEqual(caught.exception.response.headers["retry-after"], "1")
