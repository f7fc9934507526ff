"""Entra's token endpoint: the client-credentials grant of OAuth 2.0."""

import base64
import hashlib
import time
import uuid
from datetime import datetime
from datetime import timezone
from urllib.parse import unquote_plus

from .http import Refusal
from .http import Response
from .jwt import Key
from .jwt import Malformed
from .jwt import Token
from .jwt import certificate_bytes
from .jwt import certificate_key
from .jwt import decode
from .jwt import encode
from .routes import Route
from .service import Service

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# Longest time that a signed assertion may be good for, and the difference of
# clocks that Entra accepts.
ASSERTION_MAX_S = 24 * 3600
SKEW_S = 300

# Audiences of a token that another identity provider signed.
FEDERATED_AUDIENCES = ["api://AzureADTokenExchange", "api://AzureADTokenExchangeUSGov"]


# OAuth's names for errors that any service may have.
OAUTH_ERRORS = {
    "InternalServerError": "server_error",
    "ServiceUnavailable": "temporarily_unavailable",
}


class Application:
    """A client that may ask for tokens, as the control API registers it."""

    def __init__(self, client_id, secret=None, certificates=(), federations=()):
        self.client_id = client_id
        self.secret = secret
        self.certificates = [Certificate(pem) for pem in certificates]
        self.federations = [Federation(**federation) for federation in federations]


class Certificate:
    """A certificate whose key may sign a client's assertions."""

    def __init__(self, pem):
        der = certificate_bytes(pem)
        self.key = certificate_key(der)
        self.thumbprints = {
            "x5t": encode(hashlib.sha1(der, usedforsecurity=False).digest()),
            "x5t#S256": encode(hashlib.sha256(der).digest()),
        }

    def is_named_by(self, header):
        named = {name: header[name].rstrip("=") for name in self.thumbprints if name in header}
        return bool(named) and all(self.thumbprints[name] == value for name, value in named.items())


class Federation:
    """Another identity provider's word for a client: its issuer, the subject,
    and the key that signs, as `jwk` (`kid`, `n`, `e`)."""

    def __init__(self, issuer, subject, jwk, audiences=FEDERATED_AUDIENCES):
        self.issuer = issuer
        self.subject = subject
        self.audiences = audiences
        self.kid = jwk.get("kid")
        self.key = Key(int.from_bytes(decode(jwk["n"])), int.from_bytes(decode(jwk["e"])))


class Identity(Service):
    """The token endpoint of one tenant."""

    name = "token"
    throttled = ("temporarily_unavailable", "AADSTS90055: Too many requests.")

    def routes(self):
        tenant = r"/(?P<tenant>[^/]+)"
        return [
            Route("POST", tenant + r"/oauth2/v2\.0/token", "token.post", self.give),
            Route(
                "GET",
                tenant + r"/v2\.0/\.well-known/openid-configuration",
                "openidConfiguration.get",
                self.configuration,
            ),
        ]

    def authenticate(self, request):
        """Returns nothing: each route checks its own client."""

    def access_denied(self, fault):
        return Refusal(403, "access_denied", "AADSTS65004: The resource owner denied the request.")

    def render(self, refusal):
        # Entra's errors are OAuth's, with numbers of its own in the text.
        numbers = [part.removeprefix("AADSTS") for part in refusal.message.split(":")[:1]]
        body = {
            "error": OAUTH_ERRORS.get(refusal.code, refusal.code),
            "error_description": refusal.message,
            "error_codes": [int(number) for number in numbers if number.isdigit()],
            "timestamp": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ"),
            "trace_id": str(uuid.uuid4()),
            "correlation_id": str(uuid.uuid4()),
        }
        return Response(refusal.status, body, refusal.headers)

    def configuration(self, request, caller, tenant):
        self.check_tenant(tenant)
        base = self.authority(request, tenant)
        body = {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "issuer": f"{base}/v2.0",
            "tenant_region_scope": "NA",
        }
        return Response(200, body)

    def authority(self, request, tenant):
        """Returns the address of the tenant as the client knows it: a proxy
        before the mock says so by the usual headers."""
        host = request.headers.get("x-forwarded-host")
        scheme = request.headers.get("x-forwarded-proto", "https")
        return f"{scheme}://{host}/{tenant}" if host else f"{self.url}/{tenant}"

    def give(self, request, caller, tenant):
        self.check_tenant(tenant)
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type != "application/x-www-form-urlencoded":
            raise missing("grant_type")
        form = request.form()
        if form.get("grant_type") is None:
            raise missing("grant_type")
        if form["grant_type"] != "client_credentials":
            message = "AADSTS70003: The app requested an unsupported grant type."
            raise Refusal(400, "unsupported_grant_type", message)
        application = self.client(request, form, tenant)
        if not form.get("scope"):
            raise missing("scope")
        lifetime = self.tenant.settings["token_lifetime_s"]
        token = self.tenant.tokens.give(application.client_id, form["scope"], lifetime)
        if token is None:
            message = (
                "AADSTS70011: The provided value for the input parameter 'scope' is not valid. "
                f"The scope {form['scope']} is not valid."
            )
            raise Refusal(400, "invalid_scope", message)
        body = {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": token,
        }
        return Response(200, body, [("Cache-Control", "no-store, no-cache")])

    def check_tenant(self, tenant):
        if tenant.lower() != self.tenant.id:
            message = f"AADSTS90002: Tenant '{tenant}' not found."
            raise Refusal(400, "invalid_request", message)

    def client(self, request, form, tenant):
        """Returns the application whose credential is in the request."""
        basic = basic_credentials(request.headers.get("authorization"))
        if basic and ("client_secret" in form or "client_assertion" in form):
            message = "AADSTS900023: Only one kind of client credential may be presented."
            raise Refusal(400, "invalid_request", message)
        client_id = basic[0] if basic else form.get("client_id")
        if not client_id:
            raise missing("client_id")
        application = self.tenant.applications.get(client_id)
        if application is None:
            message = f"AADSTS700016: Application with identifier '{client_id}' was not found."
            raise Refusal(400, "unauthorized_client", message)
        secret = basic[1] if basic else form.get("client_secret")
        if secret is not None:
            if application.secret is None or secret != application.secret:
                raise invalid_client("7000215", "Invalid client secret provided.")
            return application
        if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
            text = "The request body must contain 'client_assertion' or 'client_secret'."
            raise invalid_client("7000218", text)
        endpoint = f"{self.authority(request, tenant)}/oauth2/v2.0/token"
        self.check_assertion(application, form["client_assertion"], endpoint)
        return application

    def check_assertion(self, application, text, endpoint):
        try:
            token = Token(text)
        except Malformed as error:
            raise invalid_client("50027", f"JWT token is invalid or malformed: {error}.") from error
        if "x5t" in token.header or "x5t#S256" in token.header:
            self.check_own(application, token, endpoint)
        else:
            self.check_federated(application, token)
        check_times(token.claims)
        self.check_reuse(token.claims)

    def check_own(self, application, token, endpoint):
        """Checks an assertion that the client signed with its certificate."""
        named = (entry for entry in application.certificates if entry.is_named_by(token.header))
        certificate = next(named, None)
        if certificate is None:
            text = (
                "The certificate that signed the client assertion is not registered on application."
            )
            raise invalid_client("700027", text)
        if not token.is_signed_by(certificate.key):
            text = "Client assertion contains an invalid signature. The key was found, but use of "
            raise invalid_client("700027", text + "the key to verify the signature failed.")
        if token.claims.get("aud") != endpoint:
            text = f"Client assertion audience claim does not match: '{token.claims.get('aud')}'; "
            raise invalid_client("700023", text + f"expected '{endpoint}'.")
        if not token.claims.get("iss") == token.claims.get("sub") == application.client_id:
            text = "The 'iss' and 'sub' claims of the assertion must be the client's id."
            raise invalid_client("700021", text)

    def check_federated(self, application, token):
        """Checks an assertion that another identity provider signed."""
        claims = token.claims
        named = (
            entry
            for entry in application.federations
            if (entry.issuer, entry.subject) == (claims.get("iss"), claims.get("sub"))
        )
        federation = next(named, None)
        if federation is None:
            text = "No matching federated identity record found for presented assertion "
            text += f"issuer '{claims.get('iss')}' and subject '{claims.get('sub')}'."
            raise invalid_client("700213", text)
        audiences = claims.get("aud")
        audiences = audiences if isinstance(audiences, list) else [audiences]
        if not any(audience in federation.audiences for audience in audiences):
            text = (
                f"No matching federated identity record found for audience '{claims.get('aud')}'."
            )
            raise invalid_client("700212", text)
        is_signed = token.header.get("kid") == federation.kid and token.is_signed_by(federation.key)
        if not is_signed:
            raise invalid_client("7000272", "The signature of the federated assertion is invalid.")

    def check_reuse(self, claims):
        identifier = claims.get("jti")
        if not identifier:
            return
        seen = identifier in self.tenant.assertions
        if seen and self.tenant.settings["refuse_reused_assertions"]:
            raise invalid_client("700025", "The client assertion was used before.")
        self.tenant.assertions.append(identifier)


def check_times(claims):
    now = time.time()
    expires = claims.get("exp")
    begins = claims.get("nbf", claims.get("iat", now))
    if not isinstance(expires, (int, float)) or not isinstance(begins, (int, float)):
        raise invalid_client("50027", "JWT token is invalid or malformed: 'exp' is missing.")
    if expires + SKEW_S < now or begins - SKEW_S > now:
        text = "Client assertion is not within its valid time range. Current time: "
        raise invalid_client("700024", text + datetime.now(timezone.utc).isoformat())
    if expires - begins > ASSERTION_MAX_S:
        raise invalid_client("700024", "The lifetime of the client assertion is too long.")


def basic_credentials(authorization):
    """Returns id and secret of HTTP Basic, each decoded as a form's field (RFC
    6749, section 2.3.1), or `None` if the header is missing or another."""
    if not (authorization or "").lower().startswith("basic "):
        return None
    try:
        text = base64.b64decode(authorization[6:], validate=True).decode()
    except ValueError as error:
        raise Refusal(400, "invalid_request", "AADSTS900144: Invalid Basic credentials.") from error
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def missing(parameter):
    message = f"AADSTS900144: The request body must contain the following parameter: '{parameter}'."
    return Refusal(400, "invalid_request", message)


def invalid_client(number, text):
    return Refusal(401, "invalid_client", f"AADSTS{number}: {text}")
