"""Merkle trees as RFC 6962, section 2.1, defines them: one hash that stands for a whole list, its order and its length.

Leaves and nodes are hashed with a prefix each, so that nobody can pass a node off as a leaf.
"""

from collections.abc import Iterable
from hashlib import sha256

_LEAF, _NODE = b"\x00", b"\x01"


def merkle_root(leaves: Iterable[bytes]) -> str:
    """Hash a list of leaves to its root, 64 hex digits. Keeps no more than one hash a level, however long the list."""
    subtrees: list[tuple[int, bytes]] = []  # (height, hash) of the complete ones so far, each lower than the one before
    for leaf in leaves:
        height, node = 0, sha256(_LEAF + leaf).digest()
        while subtrees and subtrees[-1][0] == height:
            node = sha256(_NODE + subtrees.pop()[1] + node).digest()
            height += 1
        subtrees.append((height, node))
    if not subtrees:
        return sha256().hexdigest()
    _, root = subtrees.pop()
    while subtrees:
        root = sha256(_NODE + subtrees.pop()[1] + root).digest()
    return root.hex()
