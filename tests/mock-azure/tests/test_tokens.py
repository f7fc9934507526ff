"""The token endpoint, by azure-identity and msal."""

import base64
import datetime
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import jwt
import msal
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential
from azure.identity import ClientAssertionCredential
from azure.identity import ClientSecretCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from mock_azure.jwt import Malformed
from mock_azure.jwt import Token
from mock_azure.jwt import certificate_bytes
from mock_azure.jwt import certificate_key
from mock_azure.jwt import is_pss_signature
from sdk import ARM_SCOPE
from sdk import AUTHORITY
from sdk import GRAPH_SCOPE

from .support import MockTest

ISSUER = "https://issuer.example.mil"
SUBJECT = "system:serviceaccount:hoth:hoth"


class Identity:
    """A key and its certificate."""

    def __init__(self, bits=2048):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hoth")])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        self.certificate = builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self):
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def thumbprint(self, algorithm):
        digest = self.certificate.fingerprint(algorithm)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


OWN = Identity()
OTHER = Identity()


class Tokens(MockTest):
    def setUp(self):
        super().setUp()
        self.endpoint = f"{self.urls['token']}/{self.urls['tenant']}/oauth2/v2.0/token"
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER.key.public_key()))
        federation = {"issuer": ISSUER, "subject": SUBJECT, "jwk": {**jwk, "kid": "k1"}}
        self.control.post(
            "applications",
            {
                "client_id": "certified",
                "certificates": [OWN.pem],
                "federations": [federation],
            },
        )

    def ask(self, headers=None, **form):
        """Asks for a token without the SDK. Returns the status and the answer."""
        form = {"grant_type": "client_credentials", "scope": ARM_SCOPE, **form}
        form = {name: value for name, value in form.items() if value is not None}
        data = urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.endpoint, data, headers or {})
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def refused_with(self, status, error, number, **form):
        found, body = self.ask(**form)
        self.assertEqual(
            (found, body["error"], body["error_codes"]), (status, error, [number]), body
        )

    def secret(self, **more):
        return {
            "client_id": self.urls["client_id"],
            "client_secret": self.urls["client_secret"],
            **more,
        }

    def assertion(self, identity=OWN, algorithm="PS256", header=None, **claims):
        now = int(time.time())
        defaults = {
            "aud": self.endpoint,
            "iss": "certified",
            "sub": "certified",
            "jti": str(uuid.uuid4()),
            "nbf": now,
            "iat": now,
            "exp": now + 600,
        }
        claims = {
            name: value for name, value in {**defaults, **claims}.items() if value is not None
        }
        header = header if header is not None else {"x5t#S256": OWN.thumbprint(hashes.SHA256())}
        text = jwt.encode(claims, identity.key, algorithm=algorithm, headers=header)
        return {
            "client_id": "certified",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": text,
        }

    def federated(self, **claims):
        claims = {"aud": "api://AzureADTokenExchange", "iss": ISSUER, "sub": SUBJECT, **claims}
        return self.assertion(OTHER, "RS256", {"kid": "k1"}, **claims)

    # By the SDK

    def test_a_secret_gives_tokens_that_last(self):
        token = self.azure.credential.get_token(ARM_SCOPE)
        self.assertAlmostEqual(token.expires_on, time.time() + 3599, delta=30)
        call = self.calls("token.post")[0]
        self.assertEqual(call["body"]["client_secret"], "<secret>")
        self.assertNotIn(self.urls["client_secret"], json.dumps(self.calls()))
        self.assertNotIn(token.token, json.dumps(self.calls()))

    def test_each_api_has_tokens_of_its_own(self):
        arm = self.azure.credential.get_token(ARM_SCOPE).token
        graph = self.azure.credential.get_token(GRAPH_SCOPE).token
        self.assertNotEqual(arm, graph)
        self.assertEqual(self.get("arm", "/subscriptions?api-version=2022-12-01", arm)[0], 200)
        self.assertEqual(self.get("graph", "/v1.0/users", graph)[0], 200)
        status, body, challenge = self.get("arm", "/subscriptions?api-version=2022-12-01", graph)
        self.assertEqual(
            (status, body["error"]["code"]), (401, "InvalidAuthenticationTokenAudience")
        )
        self.assertIn('error="invalid_token"', challenge)
        status, body, challenge = self.get("graph", "/v1.0/users", arm)
        self.assertEqual((status, body["error"]["code"]), (401, "InvalidAuthenticationToken"))
        self.assertIn("Bearer", challenge)

    def get(self, service, path, token=None):
        request = urllib.request.Request(self.urls[service] + path)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, json.load(response), None
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers["WWW-Authenticate"]

    def test_calls_without_a_good_token_are_refused(self):
        for service, path, codes in (
            (
                "arm",
                "/subscriptions?api-version=2022-12-01",
                ["AuthenticationFailed", "InvalidAuthenticationToken"],
            ),
            ("graph", "/v1.0/users", ["InvalidAuthenticationToken", "InvalidAuthenticationToken"]),
        ):
            for token, code in zip((None, "x"), codes, strict=True):
                status, body, challenge = self.get(service, path, token)
                self.assertEqual((status, body["error"]["code"]), (401, code))
                self.assertTrue(challenge.startswith("Bearer "))

    def test_tokens_end(self):
        self.set(token_lifetime_s=0)
        token = self.ask(**self.secret())[1]["access_token"]
        status, body, _ = self.get("arm", "/subscriptions?api-version=2022-12-01", token)
        self.assertEqual((status, body["error"]["code"]), (401, "ExpiredAuthenticationToken"))

    def test_a_certificate_of_azure_identity(self):
        credential = CertificateCredential(
            self.urls["tenant"],
            "certified",
            certificate_data=(OWN.key_pem + OWN.pem).encode(),
            **self.azure.entra(),
        )
        self.assertTrue(credential.get_token(ARM_SCOPE).token)
        self.assertTrue(credential.get_token(GRAPH_SCOPE).token)
        self.assertEqual(self.calls("token.post")[-1]["body"]["client_assertion"], "<secret>")

    def test_a_certificate_of_msal_with_either_thumbprint(self):
        class Client:
            """msal's own interface for HTTP, over the SDK's transport."""

            def __init__(self, entra):
                self.entra = entra

            def post(self, url, **options):
                return self.send("POST", url, **options)

            def get(self, url, **options):
                return self.send("GET", url, **options)

            def send(self, method, url, params=None, data=None, headers=None, **_):
                url = url.replace(AUTHORITY, self.entra.token_url)
                headers = {
                    **(headers or {}),
                    "X-Forwarded-Host": AUTHORITY.removeprefix("https://"),
                }
                return requests.request(
                    method, url, params=params, data=data, headers=headers, timeout=30
                )

            def close(self):
                pass

        sha1 = OWN.certificate.fingerprint(hashes.SHA1()).hex()
        for credential in (
            {"private_key": OWN.key_pem, "public_certificate": OWN.pem},
            {"private_key": OWN.key_pem, "thumbprint": sha1},
        ):
            client = msal.ConfidentialClientApplication(
                "certified",
                client_credential=credential,
                authority=f"{AUTHORITY}/{self.urls['tenant']}",
                instance_discovery=False,
                http_client=Client(self.azure.entra()["transport"]),
            )
            answer = client.acquire_token_for_client([ARM_SCOPE])
            self.assertIn("access_token", answer)

    def test_another_certificate_is_refused(self):
        credential = CertificateCredential(
            self.urls["tenant"],
            "certified",
            certificate_data=(OTHER.key_pem + OTHER.pem).encode(),
            **self.azure.entra(),
        )
        with self.assertRaisesRegex(ClientAuthenticationError, "AADSTS700027"):
            credential.get_token(ARM_SCOPE)

    def test_a_federated_token(self):
        text = self.federated()["client_assertion"]
        credential = ClientAssertionCredential(
            self.urls["tenant"], "certified", lambda: text, **self.azure.entra()
        )
        self.assertTrue(credential.get_token(ARM_SCOPE).token)

    def test_a_wrong_secret_is_refused(self):
        credential = ClientSecretCredential(
            self.urls["tenant"], self.urls["client_id"], "wrong", **self.azure.entra()
        )
        with self.assertRaisesRegex(ClientAuthenticationError, "AADSTS7000215"):
            credential.get_token(ARM_SCOPE)

    # Without the SDK: what it cannot be made to send

    def test_a_secret_by_http_basic(self):
        def basic(client, secret):
            text = f"{urllib.parse.quote_plus(client)}:{urllib.parse.quote_plus(secret)}"
            return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

        self.control.post("applications", {"client_id": "odd", "secret": "a+b:c%d"})
        self.assertEqual(self.ask(basic("odd", "a+b:c%d"))[0], 200)
        self.assertEqual(self.ask(basic("odd", "a b:c%d"))[0], 401)
        self.assertEqual(self.ask(basic("odd", "a+b:c%d"), client_secret="a+b:c%d")[0], 400)
        self.assertEqual(self.ask({"Authorization": "Basic !"})[0], 400)

    def test_requests_that_lack_a_part(self):
        self.refused_with(400, "invalid_request", 900144, **self.secret(scope=None))
        self.refused_with(400, "invalid_request", 900144, **self.secret(grant_type=None))
        self.refused_with(400, "invalid_request", 900144, client_secret="x")
        self.refused_with(
            400, "unsupported_grant_type", 70003, **self.secret(grant_type="password")
        )
        self.refused_with(401, "invalid_client", 7000218, client_id=self.urls["client_id"])
        self.refused_with(400, "unauthorized_client", 700016, **self.secret(client_id="x"))
        for scope in (
            "https://management.azure.com",
            "https://example.com/.default",
            f"{ARM_SCOPE} {GRAPH_SCOPE}",
        ):
            self.refused_with(400, "invalid_scope", 70011, **self.secret(scope=scope))
        self.endpoint = self.endpoint.replace(self.urls["tenant"], "other")
        self.refused_with(400, "invalid_request", 90002, **self.secret())

    def test_scopes_of_all_clouds(self):
        for scope in (
            "https://management.azure.com/.default",
            "https://management.azure.com//.default",
            "https://management.core.usgovcloudapi.net/.default",
            "https://graph.microsoft.us/.default",
            "https://dod-graph.microsoft.us/.default",
        ):
            self.assertEqual(self.ask(**self.secret(scope=scope))[0], 200, scope)

    def test_assertions_that_are_good(self):
        for algorithm, name, digest in (
            ("PS256", "x5t#S256", hashes.SHA256()),
            ("RS256", "x5t", hashes.SHA1()),
            ("RS256", "x5t#S256", hashes.SHA256()),
        ):
            form = self.assertion(algorithm=algorithm, header={name: OWN.thumbprint(digest)})
            self.assertEqual(self.ask(**form)[0], 200, algorithm)

    def test_assertions_that_are_refused(self):
        now = int(time.time())
        invalid = (401, "invalid_client")
        self.refused_with(*invalid, 700027, **self.assertion(OTHER))
        self.refused_with(
            *invalid,
            700027,
            **self.assertion(header={"x5t#S256": OTHER.thumbprint(hashes.SHA256())}),
        )
        self.refused_with(*invalid, 700027, **self.assertion(algorithm="RS512"))
        self.refused_with(
            *invalid, 700023, **self.assertion(aud="https://login.microsoftonline.com")
        )
        self.refused_with(*invalid, 700021, **self.assertion(iss="other"))
        self.refused_with(*invalid, 700024, **self.assertion(exp=now - 301))
        self.refused_with(*invalid, 700024, **self.assertion(nbf=now + 600, exp=now + 900))
        self.refused_with(*invalid, 700024, **self.assertion(exp=now + 3 * 86400))
        self.refused_with(*invalid, 50027, **self.assertion(exp=None))
        self.refused_with(*invalid, 50027, **{**self.assertion(), "client_assertion": "a.b.c"})
        self.refused_with(*invalid, 7000218, **{**self.assertion(), "client_assertion_type": "x"})
        broken = self.assertion()
        header, _, signature = broken["client_assertion"].split(".")
        claims = self.assertion()["client_assertion"].split(".")[1]
        broken["client_assertion"] = f"{header}.{claims}.{signature}"
        self.refused_with(*invalid, 700027, **broken)

    def test_an_assertion_may_be_refused_the_second_time(self):
        form = self.assertion()
        self.assertEqual([self.ask(**form)[0] for _ in range(2)], [200, 200])
        self.set(refuse_reused_assertions=True)
        self.refused_with(401, "invalid_client", 700025, **form)
        self.assertEqual(self.ask(**self.assertion())[0], 200)

    def test_federated_tokens_that_are_refused(self):
        invalid = (401, "invalid_client")
        self.assertEqual(self.ask(**self.federated())[0], 200)
        self.refused_with(*invalid, 700213, **self.federated(sub="other"))
        self.refused_with(*invalid, 700213, **self.federated(iss="https://other"))
        self.refused_with(*invalid, 700212, **self.federated(aud="other"))
        self.refused_with(*invalid, 700024, **self.federated(exp=int(time.time()) - 301))
        wrong_key = {"aud": "api://AzureADTokenExchange", "iss": ISSUER, "sub": SUBJECT}
        form = self.assertion(OWN, "RS256", {"kid": "k1"}, **wrong_key)
        self.refused_with(*invalid, 7000272, **form)


class Signatures(MockTest):
    """The verification in whole numbers against that of `cryptography`."""

    def test_keys_of_all_usual_lengths(self):
        # A length that is not a multiple of eight bits moves the bits of PSS.
        for bits in (2048, 2049, 3072):
            identity = Identity(bits)
            key = certificate_key(certificate_bytes(identity.pem))
            for algorithm in ("RS256", "PS256"):
                token = Token(jwt.encode({"a": 1}, identity.key, algorithm=algorithm))
                self.assertTrue(token.is_signed_by(key), (bits, algorithm))
                for index in (0, len(token.signature) // 2, -1):
                    changed = bytearray(token.signature)
                    changed[index] ^= 1
                    token.signature, good = bytes(changed), token.signature
                    self.assertFalse(token.is_signed_by(key), (bits, algorithm, index))
                    token.signature = good
                token.signed += b"x"
                self.assertFalse(token.is_signed_by(key), (bits, algorithm))

    def test_ps256_needs_a_salt_as_long_as_the_digest(self):
        key = certificate_key(certificate_bytes(OWN.pem))
        for length, good in ((32, True), (20, False), (0, False)):
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), length)
            signature = OWN.key.sign(b"text", scheme, hashes.SHA256())
            self.assertEqual(is_pss_signature(key, b"text", signature), good, length)

    def test_files_that_are_no_certificate(self):
        for pem in ("", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"):
            with self.assertRaises(Malformed):
                certificate_key(certificate_bytes(pem))
