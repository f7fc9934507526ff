"""Microsoft.CostManagement: queries of costs."""

import base64
import json
from collections import defaultdict
from datetime import date
from datetime import datetime
from datetime import timedelta
from decimal import Decimal

from .http import Refusal
from .provider import Provider
from .routes import SCOPE
from .routes import Route

VERSIONS = ("2025-03-01",)
MODELS = "azure.mgmt.costmanagement:"

# Columns that can be summed. All of them have the same amounts here.
AMOUNTS = ["Cost", "PreTaxCost", "CostUSD", "PreTaxCostUSD"]
# Most sums and groupings of a query, by the model's documentation.
SUMS_MAX = 2
GROUPINGS_MAX = 2

# Longest periods. Within the last, Azure cuts the start without a word.
MONTHS_MAX = 37
MONTHS_SHOWN = 12

# Seconds in the headers of a throttled query, if the fault names none.
FAMILIES = {"qpu": 1, "entity": 2, "tenant": 1, "client": 1, "clienttype": 1}


class Costs(Provider):
    """Costs of subscriptions, as the control API gives them."""

    def routes(self):
        query = SCOPE + r"/providers/Microsoft\.CostManagement/query"
        return [Route("POST", query, "costs.query", self.query, VERSIONS)]

    def query(self, request, caller, scope):
        scope = self.check_scope(scope)
        subscriptions = self.subscriptions(scope)
        body = self.body(request, MODELS + "QueryDefinition")
        self.check(body)
        start, end = self.period(body)
        matches = matcher(body["dataset"].get("filter") or {})
        lines = [
            line
            for line in self.tenant.costs
            if line["SubscriptionId"] in subscriptions
            and start <= line["date"] <= end
            and matches(line)
        ]
        columns, rows = table(body["dataset"], lines)
        return self.show(request, body, columns, rows)

    def subscriptions(self, scope):
        if scope.startswith("/subscriptions/"):
            return {scope.rsplit("/", 1)[1]}
        if self.settings["agreement"] == "MCA":
            message = "The management group scope is not supported for this agreement."
            raise Refusal(400, "BadRequest", message)
        below = self.below(self.group(scope.rsplit("/", 1)[1]))
        return {item.id for item in self.tenant.subscriptions.values() if item.parent in below}

    def check(self, body):
        dataset = body["dataset"]
        if body["timeframe"] == "Custom" and not body.get("timePeriod"):
            raise bad("The time period must be given for the timeframe 'Custom'.")
        sums = dataset.get("aggregation") or {}
        if len(sums) > SUMS_MAX:
            raise bad(f"A query can have up to {SUMS_MAX} aggregations.")
        for entry in sums.values():
            if entry["name"] not in AMOUNTS:
                raise bad(
                    f"Invalid aggregation column '{entry['name']}'; valid: {', '.join(AMOUNTS)}."
                )
        if len(dataset.get("grouping") or []) > GROUPINGS_MAX:
            raise bad(f"A query can have up to {GROUPINGS_MAX} groupings.")

    def period(self, body):
        """Returns the first and the last day that the answer covers."""
        today = self.tenant.today()
        if body["timeframe"] != "Custom":
            return named_period(body["timeframe"], today)
        start, end = (day_of(body["timePeriod"][name]) for name in ("from", "to"))
        if start > end:
            start, end = end, start
        if months_between(start, end) > MONTHS_MAX:
            raise bad(f"The time period for pulling the data cannot exceed {MONTHS_MAX} months.")
        if start > today:
            return back(start, 12), back(end, 12)
        end = min(end, today)
        months = 1 if body["dataset"].get("granularity") == "Daily" else MONTHS_SHOWN
        return max(start, back(end, months) + timedelta(days=1)), end

    def show(self, request, body, columns, rows):
        """Answers with one page. The columns come in another order with each
        query, and in the same on its pages."""
        token = read_token(request.parameter("$skiptoken"))
        if token is None:
            token = {"turn": self.tenant.queries, "start": 0, "body": body}
            self.tenant.queries += 1
        elif token["body"] != body:
            raise bad("The body of the request for a further page differs from that of the first.")
        turn = token["turn"] % len(columns)
        start, size = token["start"], self.settings["cost_page_rows"]
        next_link = None
        if start + size < len(rows):
            query = f"?api-version={VERSIONS[0]}&%24skiptoken="
            query += write_token({**token, "start": start + size})
            next_link = f"{self.arm.url}{request.path}{query}"
        id = self.tenant.new_id("query", token["turn"])
        scope = request.path.split("/providers/Microsoft.CostManagement")[0].lstrip("/")
        return self.answer(
            MODELS + "QueryResult",
            {
                "id": f"{scope}/providers/Microsoft.CostManagement/query/{id}",
                "name": id,
                "type": "Microsoft.CostManagement/query",
                "location": None,
                "sku": None,
                "eTag": None,
                "properties": {
                    "nextLink": next_link,
                    "columns": columns[turn:] + columns[:turn],
                    "rows": [row[turn:] + row[:turn] for row in rows[start : start + size]],
                },
            },
        )


def table(dataset, lines):
    """Sums lines up. Returns the columns, and the rows in their order."""
    sums = [entry["name"] for entry in (dataset.get("aggregation") or {}).values()]
    granularity = dataset.get("granularity")
    groupings = [entry["name"] for entry in dataset.get("grouping") or []]
    totals = defaultdict(Decimal)
    for line in lines:
        day = line["date"]
        when = {"Daily": day, "Monthly": day.replace(day=1)}.get(granularity)
        group = tuple(str(line.get(name) or "") for name in groupings)
        totals[when, group, line["Currency"]] += line["cost"]
    columns = [{"name": name, "type": "Number"} for name in sums]
    if granularity == "Daily":
        columns.append({"name": "UsageDate", "type": "Number"})
    if granularity == "Monthly":
        columns.append({"name": "BillingMonth", "type": "Datetime"})
    columns += [{"name": name, "type": "String"} for name in [*groupings, "Currency"]]
    rows = []
    for (when, group, currency), total in sorted(totals.items(), key=lambda entry: str(entry[0])):
        row = [float(total) for _ in sums]
        if granularity == "Daily":
            row.append(int(when.strftime("%Y%m%d")))
        if granularity == "Monthly":
            row.append(f"{when}T00:00:00")
        rows.append([*row, *group, currency])
    return columns, rows


def matcher(filter):
    """Returns a function that says whether a line is in a filter."""
    if "and" in filter or "or" in filter:
        every = filter.get("and") or filter.get("or") or []
        if len(every) < 2:
            raise bad("'and' and 'or' need at least two filters.")
        rules = [matcher(inner) for inner in every]
        combine = all if "and" in filter else any
        return lambda line: combine(rule(line) for rule in rules)
    if "dimensions" in filter:
        name = filter["dimensions"]["name"]
        wanted = {value.lower() for value in filter["dimensions"]["values"]}
        return lambda line: str(line.get(name) or "").lower() in wanted
    if "tags" in filter:
        # Tags of subscriptions are in costs only where tag inheritance is on.
        return lambda line: False
    return lambda line: True


def named_period(timeframe, today):
    first = today.replace(day=1)
    last_month = first - timedelta(days=1)
    periods = {
        "MonthToDate": (first, today),
        "BillingMonthToDate": (first, today),
        "TheCurrentMonth": (first, today),
        "TheLastMonth": (last_month.replace(day=1), last_month),
        "TheLastBillingMonth": (last_month.replace(day=1), last_month),
        "WeekToDate": (today - timedelta(days=today.weekday()), today),
    }
    return periods[timeframe]


def months_between(start, end):
    """Returns the months from one day to another, each begun one counted."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months + (end.day >= start.day)


def back(day, months):
    """Returns the same day some months before, or the last day of that month."""
    month = day.year * 12 + day.month - 1 - months
    first = date(month // 12, month % 12 + 1, 1)
    following = (first + timedelta(days=31)).replace(day=1)
    return min(first.replace(day=1) + timedelta(days=day.day - 1), following - timedelta(days=1))


def day_of(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).date()


def bad(message):
    return Refusal(400, "BadRequest", message)


def read_token(text):
    try:
        return text and json.loads(base64.urlsafe_b64decode(text))
    except ValueError as error:
        raise bad("The skip token is not valid.") from error


def write_token(token):
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode().replace("=", "%3D")


def throttled_costs(fault):
    """Returns the refusal of a throttled query. `families` has the seconds of
    each header; the longest counts. `Retry-After` is often missing: it is sent
    only if the fault has `retry_after_s`."""
    prefix = "x-ms-ratelimit-microsoft.costmanagement"
    families = fault.get("families", FAMILIES)
    headers = [(f"{prefix}-{name}-retry-after", str(value)) for name, value in families.items()]
    if fault.get("retry_after_s") is not None:
        headers.append(("Retry-After", str(fault["retry_after_s"])))
    headers += list(fault.get("headers", {}).items())
    return Refusal(429, "429", "Too many requests. Please retry.", headers)
