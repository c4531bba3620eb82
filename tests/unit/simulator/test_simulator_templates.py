import pytest

from local.simulator import Edit, Fault
from local.simulator.templates import violations


class Editor:
    """One client that fetches and puts templates."""

    def __init__(self, cxone):
        self.cxone = cxone
        self.token = cxone.bearer("admin")

    def get(self, template_id="welcome"):
        return self.cxone.call("GET", f"/api/v1/messaging/templates/{template_id}", Authorization=self.token)

    def put(self, template, template_id="welcome", **headers):
        path = f"/api/v1/messaging/templates/{template_id}"
        return self.cxone.call("PUT", path, template, Authorization=self.token, **headers)


@pytest.fixture
def editor(cxone):
    return Editor(cxone)


def approved(answer, **changes):
    return {**answer.json, "status": "APPROVED", **changes}


def test_a_template_is_given_with_its_version_as_etag(editor):
    answer = editor.get()
    assert answer.status == 200
    assert answer.headers["ETag"] == '"v1"'
    assert answer.json == {
        "id": "welcome",
        "name": "welcome",
        "status": "DRAFT",
        "content": "Welcome to Example. Reply STOP to opt out.",
        "from_address": "24680",
        "meta": {"created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z"},
    }
    assert editor.get("missing").status == 404


def test_approval_moves_the_version_and_the_time(editor):
    fetched = editor.get()
    answer = editor.put(approved(fetched), If_Match=fetched.headers["ETag"])
    assert answer.status == 200
    again = editor.get()
    assert again.json == answer.json
    assert again.json["status"] == "APPROVED"
    assert again.headers["ETag"] == '"v2"'
    assert again.json["meta"]["updated_at"] > fetched.json["meta"]["updated_at"]
    assert again.json["meta"]["created_at"] == fetched.json["meta"]["created_at"]


def test_no_body_and_no_etags(make):
    cxone = make(template_put_status=204, etags=False)
    editor = Editor(cxone)
    fetched = editor.get()
    answer = editor.put(approved(fetched))
    assert (answer.status, answer.body) == (204, b"")
    assert "ETag" not in fetched.headers
    assert "ETag" not in answer.headers
    assert cxone.simulator.template("welcome").status == "APPROVED"


def test_a_stale_etag_is_412_and_a_stale_time_409(editor):
    fetched = editor.get()
    editor.cxone.simulator.edit_template("welcome", Edit(content="New. Reply STOP to opt out."))
    assert editor.put(approved(fetched), If_Match=fetched.headers["ETag"]).status == 412
    stale = editor.put(approved(fetched))
    assert (stale.status, stale.json["conflict"]) == (409, "stale")
    assert editor.cxone.simulator.template("welcome").status == "DRAFT"
    fresh = editor.get()
    assert editor.put(approved(fresh), If_Match=fresh.headers["ETag"]).status == 200


def test_locked_and_already_approved(editor):
    editor.cxone.simulator.edit_template("welcome", Edit(locked=True))
    answer = editor.put(approved(editor.get()))
    assert (answer.status, answer.json["conflict"]) == (409, "locked")
    before = editor.get().json["meta"]["updated_at"]
    assert editor.get().json["meta"]["updated_at"] == before
    answer = editor.put(approved(editor.get("approved")), "approved")
    assert (answer.status, answer.json["conflict"]) == (409, "approved")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "other"},
        {"meta": {"created_at": "2026-01-01T00:00:00.000Z"}},
        {"extra": 1},
        {"name": ""},
        {"content": "no opt-out wording"},
        {"from_address": "+15550001"},
        {"content": "x" * 161 + "reply stop"},
    ],
)
def test_what_is_not_a_whole_good_template_is_400(editor, changes):
    assert editor.put(approved(editor.get(), **changes)).status == 400
    assert editor.cxone.simulator.template("welcome").version == 1


def test_an_edit_between_get_and_put(editor):
    editor.cxone.simulator.add_fault(
        Fault(operation="template_get", action="edit_template", content="Changed. Text STOP to unsubscribe.")
    )
    fetched = editor.get()
    assert fetched.json["content"].startswith("Welcome")
    assert editor.put(approved(fetched)).status == 409
    again = editor.get()
    assert again.json["content"] == "Changed. Text STOP to unsubscribe."
    assert editor.put(approved(again)).status == 200


def test_the_carriers_rules_are_counted_apart():
    assert violations("Hi. REPLY stop", "24680") == []
    assert violations("[" * 75 + "reply stop", "123456") == []
    assert len(violations("[" * 76 + "reply stop", "123456")) == 1
    assert len(violations("Ünicode ✓ " * 20, "+15550100")) == 4
