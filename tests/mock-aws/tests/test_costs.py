"""Costs by account, with pages, and forecasts."""

from .support import Case


class Costs(Case):
    """The calls of COST_BY_PORTFOLIO and COST_BY_CLIN."""

    def setUp(self):
        """Sets costs of two accounts."""
        super().setUp()
        self.explorer = self.client("ce")
        costs = {
            "111122223333": {"2026-01": "12.3456789012", "2026-02-10": "1.5", "2026-03": "3"},
            "444455556666": {"2026-01-31": "0.1", "2026-02": "0.2"},
        }
        forecasts = {"111122223333": {"2026-04": "99.10", "2026-05": "0.9"}}
        self.control("POST", "costs", {"costs": costs, "forecasts": forecasts})

    @staticmethod
    def asked(start="2026-01-01", end="2026-04-01", accounts=None, **changes):
        """Returns the parameters of a question."""
        asked = {
            "TimePeriod": {"Start": start, "End": end},
            "Granularity": "MONTHLY",
            "Metrics": ["NetUnblendedCost"],
            **changes,
        }
        if accounts is not None:
            asked["Filter"] = {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": accounts}}
        return asked

    def amounts(self, **asked):
        """Returns the sums of all periods."""
        answer = self.explorer.get_cost_and_usage(**self.asked(**asked))
        totals = [result["Total"]["NetUnblendedCost"] for result in answer["ResultsByTime"]]
        self.assertEqual({total["Unit"] for total in totals}, {"USD"})
        return [total["Amount"] for total in totals]

    def test_amounts_are_summed_by_month_and_keep_their_digits(self):
        first = ["12.3456789012", "1.5", "3"]
        self.assertEqual(self.amounts(accounts=["111122223333"]), first)
        both = ["111122223333", "444455556666"]
        self.assertEqual(self.amounts(accounts=both), ["12.4456789012", "1.7", "3"])
        self.assertEqual(self.amounts(), ["12.4456789012", "1.7", "3"])
        self.assertEqual(self.amounts(accounts=["999999999999"]), ["0", "0", "0"])

    def test_the_end_is_exclusive(self):
        accounts = ["444455556666"]
        self.assertEqual(self.amounts(end="2026-01-31", accounts=accounts), ["0"])
        self.assertEqual(self.amounts(end="2026-02-01", accounts=accounts), ["0.1"])
        answer = self.explorer.get_cost_and_usage(**self.asked("2026-01-15", "2026-02-02"))
        periods = [result["TimePeriod"] for result in answer["ResultsByTime"]]
        self.assertEqual(
            periods,
            [
                {"Start": "2026-01-15", "End": "2026-02-01"},
                {"Start": "2026-02-01", "End": "2026-02-02"},
            ],
        )

    def test_groups_have_the_sums_and_the_total_is_empty(self):
        group = [{"Type": "DIMENSION", "Key": "LINKED_ACCOUNT"}]
        answer = self.explorer.get_cost_and_usage(**self.asked(GroupBy=group))
        self.assertEqual(answer["GroupDefinitions"], group)
        first, _, last = answer["ResultsByTime"]
        self.assertEqual(first["Total"], {})
        keys = [group["Keys"] for group in first["Groups"]]
        self.assertEqual(keys, [["111122223333"], ["444455556666"]])
        self.assertEqual(len(last["Groups"]), 1)

    def test_results_have_pages_of_one_question(self):
        self.settings(page_size=2)
        first = self.explorer.get_cost_and_usage(**self.asked())
        self.assertEqual(len(first["ResultsByTime"]), 2)
        token = {"NextPageToken": first["NextPageToken"]}
        second = self.explorer.get_cost_and_usage(**self.asked(**token))
        self.assertEqual(len(second["ResultsByTime"]), 1)
        self.assertNotIn("NextPageToken", second)
        other = self.asked(end="2026-05-01", **token)
        self.refused("RequestChangedException", self.explorer.get_cost_and_usage, **other)
        invented = self.asked(NextPageToken="invented")
        self.refused("InvalidNextTokenException", self.explorer.get_cost_and_usage, **invented)

    def test_a_forecast_starts_today_or_before(self):
        asked = {
            "TimePeriod": {"Start": "2026-04-01", "End": "2026-06-01"},
            "Metric": "NET_UNBLENDED_COST",
            "Granularity": "MONTHLY",
        }
        answer = self.explorer.get_cost_forecast(**asked)
        self.assertEqual(answer["Total"], {"Amount": "100.00", "Unit": "USD"})
        means = [result["MeanValue"] for result in answer["ForecastResultsByTime"]]
        self.assertEqual(means, ["99.10", "0.9"])
        late = {"Start": "2999-01-01", "End": "2999-02-01"}
        late = {**asked, "TimePeriod": late}
        self.refused("ValidationException", self.explorer.get_cost_forecast, **late)
        metric = {**asked, "Metric": "NetUnblendedCost"}
        self.refused("ValidationException", self.explorer.get_cost_forecast, **metric)
        nothing = {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": ["444455556666"]}}
        nothing = {**asked, "Filter": nothing}
        self.refused("DataUnavailableException", self.explorer.get_cost_forecast, **nothing)

    def test_wrong_questions_are_refused(self):
        for changes in [
            {"end": "2026-01-01"},
            {"Metrics": ["NET_UNBLENDED_COST"]},
            {"Granularity": "WEEKLY"},
            {"GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}]},
            {"Filter": {"Dimensions": {"Key": "SERVICE", "Values": ["a"]}}},
            {"Filter": {}},
        ]:
            self.refused(
                "ValidationException", self.explorer.get_cost_and_usage, **self.asked(**changes)
            )

    def test_there_are_no_costs_in_govcloud(self):
        self.assertNotIn("ce-gov", self.document["endpoints"])
        self.refused(
            "UnrecognizedClientException",
            self.client("ce", "management-gov").get_cost_and_usage,
            **self.asked(),
        )
