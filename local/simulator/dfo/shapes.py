"""The JSON of channels, contacts and messages."""

import uuid

from local.simulator.dfo.deliveries import delivered, seen_at
from local.simulator.dfo.settings import Channel, DfoSettings
from local.simulator.dfo.store import Contact, Stored
from local.simulator.dfo.times import milliseconds, seconds

_USER = {
    "id": 1,
    "emailAddress": "api@example.com",
    "loginUsername": "api@example.com",
    "firstName": "API",
    "surname": "User",
    "isBotUser": False,
    "isSurveyUser": False,
}
ME = {"user": _USER}  # that the endpoint exists is all that is known


def channel_json(channel: Channel) -> dict[str, object]:
    """Return one channel."""
    found: dict[str, object] = {
        "id": channel.id,
        "idOnExternalPlatform": channel.number,
        "realExternalPlatformId": channel.platform,
        "name": channel.name,
        "channelIntegrationId": "integration-1",
        "isPrivate": channel.is_private,
        "hasOutboundFlow": channel.has_outbound_flow,
        "hasManualOutboundFlow": channel.has_outbound_flow,
        "hasAbilityToSendFiles": False,
        "hasMultipleThreadsPerEndUser": False,
        "hasMultipleRecipient": False,
        "translationGroup": "phone",
        "defaultSkillId": None,
        "studioScript": None,
    }
    if channel.tracks_delivery is not None:
        found["isTrackingMessageDeliveryStatus"] = channel.tracks_delivery
    return found


def contact_json(contact: Contact, now: float) -> dict[str, object]:
    """Return a contact as it was at a time; it must have been there."""
    since, status, fields = contact.as_of(now) or contact.changes[0]
    return {
        "id": contact.number,
        "contactId": _guid("contact", contact.number),
        "customerContactId": _guid("customer", contact.number),
        "interactionId": _guid("interaction", contact.number),
        "consumerContactStorageId": _guid("storage", contact.number),
        "channelId": contact.channel,
        "direction": contact.direction,
        "status": status,
        "threadId": _guid("thread", contact.thread),
        "threadIdOnExternalPlatform": contact.thread,
        "recipients": [{"idOnExternalPlatform": contact.digits}],
        "customFields": [{"ident": ident, "value": value} for ident, value in fields.items()],
        "routingQueueId": None,
        "routingQueuePriority": 0,
        "createdAt": seconds(contact.key[0]),
        "statusUpdatedAt": seconds(since),
        "detailUrl": None,
        "authorEndUserIdentity": _identity(contact),
        "endUser": {},
        "inboxAssigneeUser": None,
        "ownerAssigneeUser": None,
        "userFingerprint": {},
    }


def message_json(message: Stored, now: float, settings: DfoSettings) -> dict[str, object]:
    """Return a message with what had become of it at a time."""
    contact = message.contact
    is_inbound = message.direction == "inbound"
    channel = settings.channel(contact.channel)
    tracked = not is_inbound and channel is not None and bool(channel.tracks_delivery)
    seen = seen_at(message.delivery, message.created, now) if tracked else None
    found: dict[str, object] = {
        "id": message.id,
        "idOnExternalPlatform": message.external_id,
        "direction": message.direction,
        "createdAt": seconds(message.created),
        "createdAtWithMilliseconds": milliseconds(message.created),
        "threadId": _guid("thread", contact.thread),
        "threadIdOnExternalPlatform": contact.thread,
        "contactNumber": contact.number,
        "channel": {"id": contact.channel},
        "replyChannel": {},
        "messageContent": {
            "type": "TEXT",
            "payload": {"text": message.text},
            "fallbackText": message.text,
            "postback": None,
        },
        "hasAdditionalMessageContent": False,
        "recipients": [message.recipient],
        "authorUser": None if is_inbound else _USER,
        "authorEndUserIdentity": _identity(contact) if is_inbound else None,
        "attachments": [],
        "tags": [],
        "title": "",
        "url": None,
        "isDeletedOnExternalPlatform": False,
        "isHiddenOnExternalPlatform": False,
        "isReplyAllowed": True,
        "reactionStatistics": {},
        "sentiment": "neutral",
        "customerStatistics": {"seenAt": seen},
        "userStatistics": {"createdToReadSeconds": None, "readAt": None, "seenAt": None},
    }
    # A channel that does not track delivery never says anything of it (assumption 9).
    return found | (delivered(message.delivery, message.created, now, settings) if tracked else {})


def _identity(contact: Contact) -> dict[str, object]:
    return {"idOnExternalPlatform": contact.digits, "fullName": ""}


def _guid(kind: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{name}"))
