"""What the bench's meter makes of items and prices: DynamoDB's own rules of size, and sums that can be done by hand."""

import pytest

from bench import cost
from bench.meter import item_bytes


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"a": {"S": "hello"}}, 1 + 5),
        ({"a": {"S": "é"}}, 1 + 2),
        ({"a": {"N": "123"}}, 1 + 3),
        ({"a": {"BOOL": True}}, 1 + 1),
        ({"a": {"NULL": True}}, 1 + 1),
        ({"a": {"M": {"b": {"S": "x"}}}}, 1 + 3 + 1 + 1 + 1),
        ({"a": {"L": [{"S": "x"}, {"S": "y"}]}}, 1 + 3 + 2 + 2),
    ],
)
def test_an_item_is_sized_as_dynamodb_sizes_it(item, size):
    assert item_bytes(item) == size


def test_a_bill_is_the_sum_of_what_was_metered_times_the_list_price():
    figures = {
        "invocations": 20,
        "calls": {"Query": 20, "ExecuteStatement": 20},
        "writeUnits": 20,
        "indexWriteUnits": 30,
        "readUnits": 20.0,
        "logBytes": 20_000,
        "wallSeconds": 0.0,
        "cpuSeconds": 0.0,
    }
    bill = cost.bill({"receive_webhook": figures}, messages=10)
    price = cost.prices()
    assert bill["API Gateway"] == pytest.approx(2 * price["api_gateway"]["million_http_requests"])
    traced = 1 / 96 + 0.05 * (2 - 1 / 96)  # 96 messages a second, so 192 events: one of them, and 5 % of the rest
    assert bill["X-Ray"] == pytest.approx(traced * price["xray"]["million_traces"])
    assert bill["Lambda requests"] == pytest.approx(2 * price["lambda"]["million_requests"])
    assert bill["DynamoDB writes"] == pytest.approx(2 * price["dynamodb"]["million_write_units"])
    assert bill["DynamoDB index writes"] == pytest.approx(3 * price["dynamodb"]["million_write_units"])
    assert bill["CloudWatch logs"] == pytest.approx(2 * price["cloudwatch"]["gigabyte_of_logs"])
    assert bill["total"] == pytest.approx(sum(usd for service, usd in bill.items() if service != "total"))
