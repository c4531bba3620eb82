"""A client of the simulated Digital Engagement API over HTTP."""

import requests

from local.simulator import MAIN_CHANNEL

KEY = {"grant_type": "password", "username": "local-access-key", "password": "local-key-secret&+=="}
CLIENT = ("local-client", "local-secret&=+%")


class DigitalClient:
    """A client with the simulator's own credentials, and with its URL as the base URL."""

    def __init__(self, url, prefix=""):
        places = requests.get(f"{url}/.well-known/openid-configuration", timeout=5).json()
        token = requests.post(places["token_endpoint"], KEY, auth=CLIENT, timeout=5).json()
        self.id_token, self.keys = token["id_token"], places["jwks_uri"]
        self.headers = {"Authorization": f"Bearer {token['access_token']}"}
        self.base = f"{url}{prefix}/dfo/3.0"

    def send(self, text="hello", timeout=5):
        recipient = {"idOnExternalPlatform": "14155550100", "name": "", "isPrimary": True, "isPrivate": True}
        body = {"messageContent": {"type": "TEXT", "payload": {"text": text}}, "recipients": [recipient]}
        url = f"{self.base}/channels/{MAIN_CHANNEL}/outbound"
        return requests.post(url, json=body, headers=self.headers, timeout=timeout)

    def search(self, **query):
        return requests.get(f"{self.base}/messages", params=query, headers=self.headers, timeout=5).json()
