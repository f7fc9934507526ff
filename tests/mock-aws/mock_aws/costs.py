"""Cost Explorer: sums of a table that tests set.

The table has amounts by account and date. A date is a day, or a month, which
counts as its first day. Every metric of money has the same amounts.
"""

import calendar
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

from .answers import Refusal
from .pages import page

METRICS = [
    "AmortizedCost",
    "BlendedCost",
    "NetAmortizedCost",
    "NetUnblendedCost",
    "UnblendedCost",
]

_GROUP = {"Type": "DIMENSION", "Key": "LINKED_ACCOUNT"}


def parse_table(value):
    """Returns a table as tests set it. Raises ValueError if it is none."""
    return {
        account: {
            _date(day if len(day) == 10 else f"{day}-01"): Decimal(amount)
            for day, amount in amounts.items()
        }
        for account, amounts in value.items()
    }


def get_cost_and_usage(call):
    """Returns a page of costs by day or month."""
    asked, world = call.parameters, call.world
    metrics = asked["Metrics"]
    for metric in metrics:
        if metric not in METRICS:
            raise _invalid(f"The mock knows the metrics {', '.join(METRICS)}, not {metric}.")
    group_by = asked.get("GroupBy", [])
    if group_by not in ([], [_GROUP]):
        raise _invalid(f"The mock groups by {_GROUP} only.")
    accounts = _accounts(asked.get("Filter"), world.costs)
    results = []
    for start, end in _periods(asked):
        by_account = {
            account: _sum(world.costs.get(account, {}), start, end) for account in accounts
        }
        result = {
            "TimePeriod": _period(start, end),
            "Total": {},
            "Groups": [],
            "Estimated": end > _today(world).replace(day=1),
        }
        if group_by:
            result["Groups"] = [
                {"Keys": [account], "Metrics": _metrics(metrics, amount)}
                for account, amount in by_account.items()
                if amount
            ]
        else:
            result["Total"] = _metrics(metrics, sum(by_account.values(), Decimal(0)))
        results.append(result)
    answer = page(call, results, "ResultsByTime", token="NextPageToken")
    if group_by:
        answer["GroupDefinitions"] = group_by
    return {**answer, "DimensionValueAttributes": []}


def get_cost_forecast(call):
    """Returns the forecast by day or month."""
    asked, world = call.parameters, call.world
    start, _ = _bounds(asked)
    if start > _today(world):
        raise _invalid("Start date must be equal to or no later than the current date.")
    accounts = _accounts(asked.get("Filter"), world.forecasts)
    results = []
    total = Decimal(0)
    for start, end in _periods(asked):
        tables = [world.forecasts.get(account, {}) for account in accounts]
        amount = sum((_sum(table, start, end) for table in tables), Decimal(0))
        total += amount
        results.append({"TimePeriod": _period(start, end), "MeanValue": _text(amount)})
    if not any(world.forecasts.get(account) for account in accounts):
        text = "Insufficient amount of historical data to generate forecast."
        raise Refusal("DataUnavailableException", text)
    return {
        "Total": {"Amount": _text(total), "Unit": "USD"},
        "ForecastResultsByTime": results,
    }


def _accounts(expression, table):
    if expression is None:
        return sorted(table)
    if len(expression) != 1:
        raise _invalid("Expression must have exactly one root operator.")
    dimension = expression.get("Dimensions", {})
    if dimension.get("Key") != "LINKED_ACCOUNT" or set(dimension) != {"Key", "Values"}:
        raise _invalid("The mock filters by LINKED_ACCOUNT only.")
    return sorted(set(dimension["Values"]))


def _bounds(asked):
    start, end = (_date(asked["TimePeriod"][name]) for name in ("Start", "End"))
    if start >= end:
        raise _invalid("Start date (and hour) should be before end date (and hour)")
    return start, end


def _periods(asked):
    start, end = _bounds(asked)
    granularity = asked["Granularity"]
    if granularity not in ("DAILY", "MONTHLY"):
        raise _invalid("The mock knows the granularities DAILY and MONTHLY only.")
    while start < end:
        if granularity == "DAILY":
            following = start + timedelta(days=1)
        else:
            days = calendar.monthrange(start.year, start.month)[1]
            following = start.replace(day=days) + timedelta(days=1)
        yield start, min(following, end)
        start = following


def _sum(table, start, end):
    return sum((amount for day, amount in table.items() if start <= day < end), Decimal(0))


def _metrics(metrics, amount):
    return {metric: {"Amount": _text(amount), "Unit": "USD"} for metric in metrics}


def _period(start, end):
    return {"Start": start.isoformat(), "End": end.isoformat()}


def _text(amount):
    return format(amount, "f")


def _today(world):
    return datetime.fromtimestamp(world.now(), timezone.utc).date()


def _date(text):
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _invalid(f"{text} is not a date, such as 2026-01-31.") from None


def _invalid(text):
    return Refusal("ValidationException", text)


OPERATIONS = {
    "GetCostAndUsage": get_cost_and_usage,
    "GetCostForecast": get_cost_forecast,
}
