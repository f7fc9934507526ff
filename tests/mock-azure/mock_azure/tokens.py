"""Access tokens that the token endpoint gives, and what they are good for."""

import json
import re
import secrets
import time

from .jwt import encode

# Scopes that ask for a token, and the API that it is good for. Azure
# Government has a scope for ARM that is not the name of its host.
SCOPES = {
    "arm": [
        "https://management.azure.com",
        "https://management.core.windows.net",
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net",
    ],
    "graph": [
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
    ],
}


class Tokens:
    """Tokens by their text. They look like JSON Web Tokens, and clients must
    not look into them."""

    def __init__(self):
        self.given = {}

    def give(self, client_id, scope, lifetime_s):
        """Makes a token. Returns `None` if the scope names no known API."""
        audience = audience_of(scope)
        if audience is None:
            return None
        now = int(time.time())
        claims = {"aud": scope.removesuffix("/.default"), "appid": client_id, "iat": now}
        claims |= {"exp": now + lifetime_s, "uti": secrets.token_hex(8)}
        parts = [{"typ": "JWT", "alg": "RS256", "kid": "mock-azure"}, claims]
        text = ".".join(encode(json.dumps(part).encode()) for part in parts)
        text += "." + secrets.token_urlsafe(32)
        self.given[text] = claims | {"audience": audience, "revoked": False}
        return text

    def find(self, authorization):
        """Returns the claims of the token in an `Authorization` header, or
        `None` if the endpoint never gave it."""
        found = re.fullmatch(r"Bearer +(\S+)", authorization or "", re.IGNORECASE)
        return self.given.get(found[1]) if found else None

    def is_expired(self, claims):
        return claims["revoked"] or time.time() >= claims["exp"]

    def revoke(self, authorization):
        """Makes a token count as expired from now on."""
        claims = self.find(authorization)
        if claims:
            claims["revoked"] = True

    def revoke_all(self):
        for claims in self.given.values():
            claims["revoked"] = True

    def describe(self, authorization):
        """Describes a credential for the records, without its secret."""
        if authorization is None:
            return None
        claims = self.find(authorization)
        if claims is None:
            return {"kind": authorization.split(" ")[0].lower(), "known": False}
        return {"kind": "bearer", "audience": claims["audience"], "client_id": claims["appid"]}


def audience_of(scope):
    """Returns `arm` or `graph`, or `None` if the scope is not `<API>/.default`.
    Two slashes are right where the API's own name ends in one."""
    found = re.fullmatch(r"(https://[^/]+)/{1,2}\.default", scope)
    names = (name for name, apis in SCOPES.items() if found and found[1] in apis)
    return next(names, None)
