"""Verifies Signature Version 4 with the signer of botocore."""

import hashlib
import hmac
import re
from calendar import timegm
from time import gmtime, strftime, strptime

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from .answers import Refusal

# The longest difference between the clocks of the caller and AWS.
SKEW_MAX_SECONDS = 300

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{64})"
)


class _Verifier(SigV4Auth):
    """The signer of botocore, with exactly the headers that were signed."""

    def headers_to_sign(self, request):
        return request.headers


def verify(request, keyring, now):
    """Returns the access key that signed the request.

    Raises a refusal if the signature is missing, does not fit, is older or
    younger than five minutes, or is for another service or region.
    """
    authorization = request.headers.get("authorization")
    if authorization is None:
        raise _refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        raise _refusal("IncompleteSignatureException", "Authorization header is malformed.")
    credential, names, signature = match.groups()
    names = names.split(";")
    key = _key(request, keyring, credential.split("/")[0], now)
    timestamp = request.headers.get("x-amz-date", "")
    _check_scope(request.endpoint, credential, timestamp)
    _check_date(timestamp, now)
    _check_names(request, names)
    signed = _signed(request, names, timestamp)
    verifier = _Verifier(
        Credentials(key.id, key.secret, key.token),
        request.endpoint.service,
        request.endpoint.region,
    )
    text = verifier.string_to_sign(signed, verifier.canonical_request(signed))
    if not hmac.compare_digest(verifier.signature(text, signed), signature):
        raise _refusal(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method. Consult the service "
            "documentation for details.",
        )
    return key


def _key(request, keyring, id, now):
    key = keyring.get(id)
    token = request.headers.get("x-amz-security-token")
    # The partitions know nothing of each other's keys.
    known = key is not None and key.partition == request.endpoint.partition
    if not known or key.token != token:
        raise _refusal(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
    if key.expires_at is not None and key.expires_at <= now:
        raise expired()
    return key


def expired():
    """Returns the refusal of an expired temporary key."""
    return _refusal(
        "ExpiredTokenException", "The security token included in the request is expired"
    )


def _check_scope(endpoint, credential, timestamp):
    scope = credential.split("/")[1:]
    if len(scope) != 4 or scope[3] != "aws4_request":
        raise _refusal("InvalidSignatureException", "Credential should have 5 elements.")
    date, region, service, _ = scope
    if service != endpoint.service:
        text = f"Credential should be scoped to correct service: '{endpoint.service}'."
        raise _refusal("InvalidSignatureException", text)
    if region != endpoint.region:
        text = f"Credential should be scoped to a valid region, not '{region}'."
        raise _refusal("InvalidSignatureException", text)
    if date != timestamp[:8]:
        text = f"Date in Credential scope does not match YYYYMMDD from ISO-8601: {date}."
        raise _refusal("InvalidSignatureException", text)


def _check_date(timestamp, now):
    try:
        signed_at = timegm(strptime(timestamp, SIGV4_TIMESTAMP))
    except ValueError:
        raise _refusal(
            "IncompleteSignatureException", "Authorization header requires 'X-Amz-Date'."
        ) from None
    limit, clock = _text(now - SKEW_MAX_SECONDS), _text(now)
    if signed_at < now - SKEW_MAX_SECONDS:
        text = f"Signature expired: {timestamp} is now earlier than {limit} ({clock} - 5 min.)"
        raise _refusal("InvalidSignatureException", text)
    if signed_at > now + SKEW_MAX_SECONDS:
        limit = _text(now + SKEW_MAX_SECONDS)
        text = (
            f"Signature not yet current: {timestamp} is still later than {limit} ({clock} + 5 min.)"
        )
        raise _refusal("InvalidSignatureException", text)


def _text(seconds):
    return strftime(SIGV4_TIMESTAMP, gmtime(seconds))


def _check_names(request, names):
    needed = {"host"} | {name for name in request.headers if name.startswith("x-amz-")}
    missing = sorted(needed - set(names)) + sorted(set(names) - set(request.headers))
    if missing:
        text = f"'{missing[0]}' must be a 'SignedHeader' and must be in the request."
        raise _refusal("InvalidSignatureException", text)


def _signed(request, names, timestamp):
    headers = HTTPHeaders()
    for name in names:
        headers[name] = request.headers[name]
    url = f"http://{request.headers['host']}{request.target}"
    signed = AWSRequest(request.method, url, headers=headers, data=request.body)
    signed.context["timestamp"] = timestamp
    digest = request.headers.get("x-amz-content-sha256")
    if digest not in (None, hashlib.sha256(request.body).hexdigest()):
        text = "The value passed for 'X-Amz-Content-Sha256' is not the hash of the body."
        raise _refusal("InvalidSignatureException", text)
    return signed


def _refusal(type, message):
    return Refusal(type, message, frame=True)
