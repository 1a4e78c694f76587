# Shell. Calls the sample module `shop` of `lars up` five times, with a second try at another node.
"""``PYTHONPATH=api/python python3 api/python/examples/shop.py``"""
from __future__ import annotations

import urllib.request

from lars import Attempt, Client

SHOP = (1, 2)


def fetch(node: Attempt) -> str:
    """One HTTP request; urlopen raises for status 400 and above, which ``call`` understands."""
    url = f"http://{node.address}/"
    with urllib.request.urlopen(url, timeout=min(node.left_s, 5)) as response:
        body: bytes = response.read()
    return f"{node.address} says {body.decode().strip()}"


def main() -> None:
    with Client() as client:
        for _ in range(5):
            print(client.call(*SHOP, fetch, retries=1, timeout_ms=2000))


if __name__ == "__main__":
    main()
