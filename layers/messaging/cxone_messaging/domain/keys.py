"""The rule for a secret that keys an HMAC."""

# Half the length that the template makes Secrets Manager generate. As hex they are 128 bits.
_FEWEST_CHARACTERS = 32


def key_fault(key: object) -> str | None:
    """Return why a secret's value cannot be a key, as a phrase that follows its name; None if it can.

    The phrase quotes no part of the value.
    """
    if not isinstance(key, str):
        return "is not a text"
    if not (key.isascii() and key.isprintable() and " " not in key):
        return "holds spaces, line breaks or other characters than printable ASCII"
    if len(key) < _FEWEST_CHARACTERS:
        return f"has fewer than {_FEWEST_CHARACTERS} characters"
    return None
