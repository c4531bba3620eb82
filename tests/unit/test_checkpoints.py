from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.checkpoints import merkle_root

# The vectors of Certificate Transparency's own tests (RFC 6962 trees over the first so many of these leaves).
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def by_definition(leaves):
    """Hash as RFC 6962 writes it down: split at the largest power of two that is smaller than the number of leaves."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + by_definition(leaves[:split]) + by_definition(leaves[split:])).digest()


@pytest.mark.parametrize(("count", "root"), [*enumerate(ROOTS)])
def test_the_vectors_of_rfc_6962(count, root):
    assert merkle_root(map(bytes.fromhex, LEAVES[:count])) == root


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_it_is_the_trees_definition(leaves):
    assert merkle_root(leaves) == by_definition(leaves).hex()
