"""Messaging templates: versions, locks, the carriers' rules, and conflicting changes."""

import re
from dataclasses import dataclass, replace

from local.simulator.model import Strict
from local.simulator.sms import Text
from local.simulator.wire import RefusedError, parse, rfc3339

APPROVED = "APPROVED"
_OPT_OUT = re.compile(r"\b(?:stopp?|alto|baja|parar|arr[eê]t)\b", re.IGNORECASE)
_SHORT_CODE = re.compile(r"[0-9]{5,6}")
_MAXIMUM_SEPTETS = 160
_DOUBLE = set("\f^{}\\[~]|€")  # two septets each, 3GPP TS 23.038 6.2.1.1
_GSM7 = _DOUBLE | set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


@dataclass(frozen=True, slots=True)
class Template:
    """One stored template; times are epoch seconds, `version` makes the ETag."""

    id: str
    name: str
    content: str
    from_address: str
    created: float
    updated: float
    status: str = "DRAFT"
    locked: bool = False
    version: int = 1

    @property
    def etag(self) -> str:
        """The version as a strong entity tag."""
        return f'"v{self.version}"'

    def as_json(self) -> dict[str, object]:
        """The template as GET shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "content": self.content,
            "from_address": self.from_address,
            "meta": {"created_at": rfc3339(self.created), "updated_at": rfc3339(self.updated)},
        }


class Meta(Strict):
    """When the template was made and last changed, as the GET said."""

    created_at: str
    updated_at: str


class PutRequest(Strict):
    """The whole template."""

    id: str
    name: Text
    status: Text
    content: str
    from_address: str
    meta: Meta


class Edit(Strict):
    """What an editor in the console changes; fields left out stay as they are."""

    name: Text | None = None
    status: Text | None = None
    content: str | None = None
    from_address: str | None = None
    locked: bool | None = None


class Templates:
    """The stored templates."""

    def __init__(self, now: float) -> None:
        self._templates: dict[str, Template] = {}
        self.edit("welcome", Edit(content="Welcome to Example. Reply STOP to opt out.", from_address="24680"), now)
        self.edit("broken", Edit(content="Ünicode ✓ " * 20, from_address="+15550100"), now)
        approved = Edit(content="Your order has shipped. Reply STOP to opt out.", from_address="24680", status=APPROVED)
        self.edit("approved", approved, now)

    def get(self, template_id: str) -> Template:
        """One template; 404 where there is none."""
        if template_id not in self._templates:
            raise RefusedError(404, f"no template {template_id}")
        return self._templates[template_id]

    def put(self, template_id: str, body: bytes, if_match: str | None, now: float) -> Template:
        """Replace a template as it was fetched; stale, locked and approved ones conflict."""
        new = parse(PutRequest, body)
        current = self.get(template_id)
        if new.id != template_id:
            raise RefusedError(400, "id: not the one in the path")
        if if_match not in {None, "*", current.etag}:
            raise RefusedError(412, f"the template is at version {current.etag}")
        if current.locked:
            raise RefusedError(409, "the template is locked by another workflow", conflict="locked")
        if current.status == APPROVED:
            raise RefusedError(409, "the template is already approved", conflict="approved")
        if new.meta.updated_at != rfc3339(current.updated):
            raise RefusedError(409, "the template has changed since it was fetched", conflict="stale")
        if new.status == APPROVED and (broken := violations(new.content, new.from_address)):
            raise RefusedError(400, "; ".join(broken))
        changes: dict[str, object] = {
            "name": new.name,
            "status": new.status,
            "content": new.content,
            "from_address": new.from_address,
        }
        return self._store(current, changes, now)

    def edit(self, template_id: str, edit: Edit, now: float) -> Template:
        """Create or change a template behind the API's back; it moves `updated_at` and the ETag."""
        current = self._templates.get(template_id) or Template(template_id, template_id, "", "", now, now, version=0)
        return self._store(current, edit.model_dump(exclude_none=True), now)

    def _store(self, current: Template, changes: dict[str, object], now: float) -> Template:
        # Times are shown in milliseconds; a change must show even when the clock stands still.
        updated = now if not current.version else max(now, current.updated + 0.001)
        stored = replace(current, **changes, updated=updated, version=current.version + 1)  # type: ignore[arg-type]
        self._templates[stored.id] = stored
        return stored


def violations(content: str, from_address: str) -> list[str]:
    """The faults that a carrier would refuse."""
    gsm7 = set(content) <= _GSM7
    length = len(content) + (sum(character in _DOUBLE for character in content) if gsm7 else 0)
    checks = {
        "content: not GSM-7": gsm7,
        "content: longer than 160 characters": length <= _MAXIMUM_SEPTETS,
        "content: no opt-out wording": bool(_OPT_OUT.search(content)),
        "from_address: not a short code": bool(_SHORT_CODE.fullmatch(from_address)),
    }
    return [text for text, holds in checks.items() if not holds]
