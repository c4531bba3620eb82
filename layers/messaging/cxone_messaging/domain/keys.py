"""What can key an HMAC."""

# Half of what the template has Secrets Manager generate. As hex they are 128 bits.
_FEWEST_CHARACTERS = 32


def key_fault(key: object) -> str | None:
    """Return what keeps a secret's value from being a key, in words that go on from its name; None if it can be one.

    Nothing of the value is quoted.
    """
    if not isinstance(key, str):
        return "is not a text"
    if not (key.isascii() and key.isprintable() and " " not in key):
        return "holds spaces, line breaks or other characters than printable ASCII"
    if len(key) < _FEWEST_CHARACTERS:
        return f"has fewer than {_FEWEST_CHARACTERS} characters"
    return None
