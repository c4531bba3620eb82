import base64
import json
from http import HTTPStatus

import pytest
from pydantic import Field

from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.platform.bodies import Body, WireBody
from cxone_messaging.platform.http_api import HttpApi, HttpResponse, problem
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Metric

LIMIT = 64 * 1024


class Thing(Body):
    name: str = ""
    label: str = Field(default="", max_length=50)
    how_many: int | None = None
    flag: bool = False
    sender: str | None = Field(default=None, alias="from")


class Theirs(WireBody):
    name: str


class Context:
    aws_request_id = "request-1"

    @staticmethod
    def get_remaining_time_in_millis():
        return 12_500


class Called:
    """A function's API with one route, and what the route was given last."""

    def __init__(self, answer=None, model=Thing):
        self.request = None
        self.parsed = None
        self._answer = answer
        self._model = model
        self.metrics = EmbeddedMetrics()
        self.api = HttpApi({"POST /things/{id}": self._route}, self.metrics)

    def _route(self, request):
        self.request = request
        if self._answer is not None:
            return self._answer(request)
        self.parsed = request.parse(self._model)
        return HttpResponse(HTTPStatus.OK, {"done": True})

    def __call__(self, body="{}", **changes):
        event = {
            "httpMethod": "POST",
            "resource": "/things/{id}",
            "pathParameters": {"id": "1"},
            "queryStringParameters": None,
            "headers": {},
            "body": body,
            "isBase64Encoded": False,
        }
        return self.api(event | changes, Context())


def told(answer):
    """Read an answer as a client does: as bytes."""
    return json.loads(answer["body"].encode())


def refuses(answer, status, code):
    assert answer["statusCode"] == status
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    body = told(answer)
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:cxone-messaging:problem:{code}"
    assert isinstance(body["title"], str)
    assert isinstance(body["detail"], str)
    return body["errors"]


def test_a_good_request_is_answered():
    called = Called()
    answer = called('{"name": "ñ", "howMany": 2, "from": "x"}')
    assert answer["statusCode"] == 200
    assert answer["headers"] == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    assert answer["isBase64Encoded"] is False
    assert told(answer) == {"done": True}
    assert called.parsed == Thing(name="ñ", howMany=2, **{"from": "x"})
    assert called.request.deadline.left == pytest.approx(12.5, abs=0.5)


NESTED = "[" * 60_000
DEEP = '{"a":' * 10_000 + "1" + "}" * 10_000


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        " ",
        "no JSON",
        "{",
        '{"name": "a",}',
        "{'name': 'a'}",
        '{"name": "a"} {}',
        "\ufeff\ufeff{}",
        NESTED,
        DEEP,
        '{"howMany": ' + "9" * 5000 + "}",
    ],
    ids=lambda body: repr(body)[:20],
)
def test_a_body_that_is_not_json(body):
    assert refuses(Called()(body), 400, "malformed_request") == []


@pytest.mark.parametrize("body", ["[]", "[{}]", '"text"', "1", "null", "true", "NaN", "-Infinity", "9" * 400])
def test_a_body_that_is_no_object(body):
    assert refuses(Called()(body), 400, "malformed_request") == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"name": 1}', "name"),
        ('{"name": null}', "name"),
        ('{"name": ["a"]}', "name"),
        ('{"howMany": "2"}', "howMany"),
        ('{"howMany": 2.0}', "howMany"),
        ('{"howMany": true}', "howMany"),
        ('{"howMany": NaN}', "howMany"),
        ('{"howMany": 1e999}', "howMany"),
        ('{"flag": 1}', "flag"),
        ('{"flag": "true"}', "flag"),
        ('{"from": 1}', "from"),
        ('{"sender": "x"}', "sender"),  # the code's name of it, not the API's
        ('{"how_many": 2}', "how_many"),
        ('{"unknown": 1}', "unknown"),
        ('{"label": "\\ud800"}', "label"),
        (f'{{"label": "{"x" * 51}"}}', "label"),
    ],
)
def test_a_field_of_another_type_or_an_unknown_one_is_named(body, field):
    errors = refuses(Called()(body), 400, "malformed_request")
    assert [(error["code"], error["field"]) for error in errors] == [("malformed_request", field)]


def test_what_a_field_said_is_quoted_nowhere(log):
    answer = Called()('{"name": 15551234567, "howMany": "secret words"}')
    assert len(refuses(answer, 400, "malformed_request")) == 2
    for text in (answer["body"], log.getvalue()):
        assert "15551234567" not in text
        assert "secret words" not in text


def test_a_field_name_that_is_no_text_can_still_be_answered():
    refuses(Called()('{"\\ud800": 1}'), 400, "malformed_request")


def test_a_thousand_violations_are_not_all_listed():
    body = json.dumps({f"field{number}": 1 for number in range(1000)})
    assert len(refuses(Called()(body), 400, "malformed_request")) == 20


def test_a_lone_surrogate_in_the_event_itself_is_answered_too():
    refuses(Called()('{"label": "\ud800"}'), 400, "malformed_request")
    refuses(Called()("\ud800"), 400, "malformed_request")


def test_a_lone_surrogate_in_a_text_without_limit_is_for_the_route_to_refuse():
    called = Called()
    assert called('{"name": "\\ud800"}')["statusCode"] == 200
    assert called.parsed.name == "\ud800"


def test_fields_that_cxone_may_add_are_passed_over():
    called = Called(model=Theirs)
    assert called('{"name": "a", "added": [1]}')["statusCode"] == 200
    assert called.parsed == Theirs(name="a")
    refuses(called('{"added": 1}'), 400, "malformed_request")


@pytest.mark.parametrize(("letter", "bytes_each"), [("x", 1), ("é", 2), ("😀", 4)])
@pytest.mark.parametrize("encoded", [False, True])
def test_the_limit_is_64_kib_of_bytes_exactly(letter, bytes_each, encoded):
    frame = len('{"name": ""}')
    room = LIMIT - frame
    text = letter * (room // bytes_each)
    fits = '{"name": "' + text + "a" * (LIMIT - frame - len(text.encode())) + '"}'
    assert len(fits.encode()) == LIMIT
    for body, status in ((fits, 200), (fits + " ", 413)):
        sent = base64.b64encode(body.encode()).decode() if encoded else body
        assert Called()(sent, isBase64Encoded=encoded)["statusCode"] == status


def test_a_body_far_over_the_limit_is_refused_before_it_is_decoded():
    refuses(Called()("!" * 2_000_000, isBase64Encoded=True), 413, "request_too_large")
    refuses(Called()("x" * 2_000_000), 413, "request_too_large")


def test_a_route_with_another_limit():
    called = Called()
    api = HttpApi({"POST /big": called._route}, EmbeddedMetrics(), body_limit=5 * 1024 * 1024)
    event = {"httpMethod": "POST", "resource": "/big", "body": '{"name": "' + "x" * 2_000_000 + '"}'}
    assert api(event, Context())["statusCode"] == 200


def test_a_base64_body_is_decoded():
    called = Called()
    assert called(base64.b64encode('{"name": "ñ"}'.encode()).decode(), isBase64Encoded=True)["statusCode"] == 200
    assert called.parsed == Thing(name="ñ")


def test_a_body_reaches_the_route_byte_for_byte():
    raw = b'\xff\xfe\x00{"a"'
    called = Called(lambda _: HttpResponse(HTTPStatus.OK, {}))
    called(base64.b64encode(raw).decode(), isBase64Encoded=True)
    assert called.request.body == raw
    called("ñ\r\n ")
    assert called.request.body == "ñ\r\n ".encode()


@pytest.mark.parametrize("garbage", ["{}", "a", "a===", "e30=\n", "e30=e30=", "é", "\ud800", "e3-_"])
def test_a_body_that_is_not_base64(garbage):
    refuses(Called()(garbage, isBase64Encoded=True), 400, "malformed_request")


@pytest.mark.parametrize("raw", [b"\xff", b"\x80abc", b'{"label": "\xed\xa0\x80"}', b"\x00\xd8", b"\xff\xfe\x00\xd8"])
def test_bytes_that_are_no_text(raw):
    refuses(Called()(base64.b64encode(raw).decode(), isBase64Encoded=True), 400, "malformed_request")


def test_header_names_are_in_lower_case_and_their_values_as_they_came():
    called = Called()
    called(headers={"Idempotency-Key": "Key-1", "X-CXONE-Signature": "sha256=AB"})
    assert called.request.headers == {"idempotency-key": "Key-1", "x-cxone-signature": "sha256=AB"}


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("%2B15551234567", "+15551234567"),
        ("+15551234567", "+15551234567"),
        ("15551234567", "15551234567"),
        ("a%2Fb", "a/b"),
        ("%252B1", "%2B1"),
        ("%ff", "\ufffd"),
        ("100%", "100%"),
    ],
)
def test_path_parameters_are_percent_decoded_once(raw, decoded):
    called = Called()
    called(pathParameters={"id": raw})
    assert called.request.path == {"id": decoded}


def test_query_parameters_are_given_as_gateway_decoded_them():
    called = Called()
    called(queryStringParameters={"ref": "a+b%2B"})
    assert called.request.query == {"ref": "a+b%2B"}


def test_what_an_event_may_lack():
    called = Called(lambda _: HttpResponse(HTTPStatus.NO_CONTENT, {}))
    api = HttpApi({"GET /": called._route}, EmbeddedMetrics())
    nothing = {"headers": None, "pathParameters": None, "queryStringParameters": None, "body": None}
    for event in ({}, nothing):
        assert api({"httpMethod": "GET", "resource": "/", **event}, Context())["statusCode"] == 204
    request = called.request
    assert (request.path, request.query, request.headers, request.body) == ({}, {}, {}, b"")


def test_an_http_apis_event_names_its_route_in_one():
    called = Called()
    event = {"version": "2.0", "routeKey": "POST /things/{id}", "rawPath": "/things/1", "pathParameters": {"id": "1"}}
    assert called.api({**event, "headers": {}, "body": '{"name": "a"}'}, Context())["statusCode"] == 200
    assert (called.request.route, called.parsed.name) == ("POST /things/{id}", "a")
    assert called.api({**event, "routeKey": "$default"}, Context())["statusCode"] == 404


@pytest.mark.parametrize("changes", [{"httpMethod": "PUT"}, {"resource": "/other"}, {"resource": None}])
def test_another_route_is_not_found(changes):
    called = Called()
    refuses(called(**changes), 404, "route_not_found")
    assert called.request is None


def test_its_routes_can_be_asked_for():
    assert Called().api.routes == {"POST /things/{id}"}


def failing(error):
    def answer(_):
        raise error

    return Called(answer)


@pytest.mark.parametrize(
    "error",
    [each("+15551234567 said hello") for each in (ValueError, KeyError, RecursionError, OSError)],
)
def test_an_unhandled_exception_is_a_problem_that_tells_nothing_of_it(log, error):
    answer = failing(error)()
    assert refuses(answer, 500, "internal_error") == []
    logged = log.getvalue()
    for text in (answer["body"], logged):
        assert "15551234567" not in text
        assert "hello" not in text
    assert type(error).__name__ in logged
    assert "test_http_api.py" in logged  # where it was raised


def test_an_exceptions_cause_is_not_logged_either(log):
    said = ["+15551234567", "".join(["h", "ello"])]  # put together here, since frames quote their source

    def answer(_):
        try:
            raise ValueError(said[0])  # noqa: TRY301
        except ValueError as error:
            raise RuntimeError(said[1]) from error

    assert Called(answer)()["statusCode"] == 500
    assert "RuntimeError" in log.getvalue()
    assert "15551234567" not in log.getvalue()
    assert "hello" not in log.getvalue()


def test_one_line_is_logged_for_a_request_and_none_of_its_data(log):
    Called()('{"name": "a text"}', headers={"X": "a header"}, pathParameters={"id": "an id"})
    (line,) = [json.loads(each) for each in log.getvalue().splitlines()]
    assert (line["level"], line["message"], line["service"]) == ("INFO", "answered", "cxone-messaging")
    assert (line["route"], line["status"], line["requestId"]) == ("POST /things/{id}", 200, "request-1")
    assert not any(text in log.getvalue() for text in ("a text", "a header", "an id"))


def test_metrics_are_flushed_whatever_happens(capsys):
    def counting(answer):
        called = Called(answer)
        called.metrics.add(Metric.DISPATCH_LATENCY, 12)
        called()
        return [line for line in capsys.readouterr().out.splitlines() if "CxoneMessaging" in line]

    def fail(_):
        raise ValueError

    for answer in (None, fail):
        (line,) = counting(answer)
        measured = json.loads(line)
        assert measured["DispatchLatency"] in (12, [12])
        assert ("InternalErrors" in measured) == (answer is fail)


def test_a_problem_with_all_that_it_may_carry():
    error = MessagingError(
        Code.RATE_LIMITED,
        "wait",
        errors=[FieldError(Code.OPTED_OUT, "to", "no")],
        message_id="msg_1",
        retry_after=7,
        replayed=True,
    )
    answer = problem(error).as_event()
    assert refuses(answer, 429, "rate_limited") == [{"code": "opted_out", "field": "to", "message": "no"}]
    assert told(answer)["messageId"] == "msg_1"
    assert told(answer)["detail"] == "wait"
    assert answer["headers"]["Retry-After"] == "7"
    assert answer["headers"]["Idempotency-Replayed"] == "true"


def test_a_problem_without_them():
    answer = problem(MessagingError(Code.IN_PROGRESS, "wait")).as_event()
    assert set(told(answer)) == {"type", "title", "status", "detail", "code", "errors"}
    assert set(answer["headers"]) == {"Content-Type", "Cache-Control"}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("malformed_request", 400),
        ("idempotency_key_required", 400),
        ("invalid_signature", 401),
        ("message_not_found", 404),
        ("consent_not_found", 404),
        ("in_progress", 409),
        ("request_too_large", 413),
        ("idempotency_key_reused", 422),
        ("validation_failed", 422),
        ("rate_limited", 429),
        ("cxone_rejected", 502),
        ("cxone_auth_failed", 502),
        ("cxone_unavailable", 503),
        ("outcome_unknown", 504),
        ("internal_error", 500),
    ],
)
def test_the_status_of_each_code(code, status):
    assert refuses(failing(MessagingError(Code(code), "told"))(), status, code) == []
