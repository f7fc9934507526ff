"""Makes the known answers of the signers with the libraries of the clouds.

Run it in this folder with the packages of requirements.txt:

    python3 make.py

It writes aws_sigv4.json, oci_signature.json and jwt.json. The keys are for
tests only and lie beside it; it makes them if they are missing. The clock is
fixed, so that a second run changes nothing but the randomised signature of
PS256.
"""

import base64
import datetime
import json
import pathlib
from unittest import mock

import botocore.auth
import google.auth.crypt
import google.oauth2.service_account
import msal.oauth2cli.assertion
import oci.signer
import requests
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 11, 28, 22, 38, 2, tzinfo=datetime.timezone.utc)
NOW_S = int(NOW.timestamp())


def write(name, value):
    text = json.dumps(value, indent=2, sort_keys=True)
    (HERE / name).write_text(text + "\n")


def make_keys():
    """Makes the RSA key in both encodings, and its certificate."""
    if (HERE / "key.pkcs8.pem").exists():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = serialization.PrivateFormat
    forms = {
        "key.pkcs8.pem": (private.PKCS8, serialization.NoEncryption()),
        "key.pkcs1.pem": (private.TraditionalOpenSSL, serialization.NoEncryption()),
        "key.encrypted.pem": (private.PKCS8, serialization.BestAvailableEncryption(b"hoth")),
    }
    for name, (form, encryption) in forms.items():
        pem = key.private_bytes(serialization.Encoding.PEM, form, encryption)
        (HERE / name).write_bytes(pem)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(
        serialization.Encoding.PEM, private.PKCS8, serialization.NoEncryption()
    )
    (HERE / "other-key.pem").write_bytes(pem)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hoth.example.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=3650))
    certificate = builder.sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (HERE / "certificate.pem").write_bytes(pem)


# Method, URL, headers, body.
AWS_REQUESTS = [
    (
        "POST",
        "https://organizations.us-gov-west-1.amazonaws.com/",
        {
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": "AWSOrganizationsV20161128.CreateOrganizationalUnit",
        },
        '{"ParentId": "r-ab12", "Name": "P\u00fc1"}',
    ),
    ("GET", "https://iam.us-east-1.amazonaws.com/", {}, ""),
    (
        "GET",
        "https://service.us-east-1.amazonaws.com/a%20b/c%2Fd/%C3%BC?b=2&a=1&b=1&empty=&c=%2B%20%3A&a-b=x",
        {},
        "",
    ),
    ("DELETE", "https://service.us-east-1.amazonaws.com:8443/v1/things/~x_y.z", {}, ""),
    ("PUT", "https://service.us-east-1.amazonaws.com/a:b@c", {"content-type": "text/plain"}, "x"),
    (
        "POST",
        "https://sts.us-east-1.amazonaws.com/",
        {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
        "Action=GetCallerIdentity&Version=2011-06-15",
    ),
    (
        "POST",
        "https://service.us-east-1.amazonaws.com/",
        {"x-amz-folded": "  a   b  "},
        "",
    ),
]


def aws_sigv4():
    vectors = []
    for token in [None, "IQoJb3JpZ2luX2VjE/session+token=="]:
        for method, url, headers, body in AWS_REQUESTS:
            host = url.split("/")[2].split(".")
            service, region = host[0], host[1]
            credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
            request = AWSRequest(method=method, url=url, headers=headers, data=body.encode())
            with mock.patch("botocore.auth.get_current_datetime", lambda: NOW):
                botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
            signed = {
                name.lower(): value
                for name, value in request.headers.items()
                if name.lower() not in headers
            }
            vectors.append(
                {
                    "method": method,
                    "url": url,
                    "headers": headers,
                    "body": body,
                    "access_key_id": credentials.access_key,
                    "secret_access_key": credentials.secret_key,
                    "session_token": token,
                    "service": service,
                    "region": region,
                    "now_s": NOW_S,
                    "signed": signed,
                }
            )
    write("aws_sigv4.json", vectors)


OCI_REQUESTS = [
    ("GET", "https://identity.us-langley-1.oci.oraclegovcloud.com/20160918/compartments?compartmentId=ocid1.x&name=P%201", {}, None),
    ("HEAD", "https://identity.us-langley-1.oci.oraclegovcloud.com/20160918/compartments/a%2Fb", {}, None),
    ("DELETE", "https://identity.us-langley-1.oci.oraclegovcloud.com/20160918/users/u", {}, None),
    (
        "POST",
        "https://identity.us-langley-1.oci.oraclegovcloud.com/20160918/compartments",
        {"content-type": "application/json"},
        '{"name": "P\u00fc1"}',
    ),
    ("POST", "https://identity.us-langley-1.oci.oraclegovcloud.com/20160918/x/actions/y", {}, ""),
    ("PUT", "https://localhost:8443/a?b", {"content-type": "text/plain; charset=utf-8"}, "x"),
    ("PATCH", "https://identity.us-langley-1.oci.oraclegovcloud.com/Users/1", {"content-type": "application/scim+json"}, "{}"),
]

OCI_KEY = {
    "tenancy": "ocid1.tenancy.oc3..aaaa",
    "user": "ocid1.user.oc3..bbbb",
    "fingerprint": "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34",
}


def oci_signature():
    signer = oci.signer.Signer(**OCI_KEY, private_key_file_location=str(HERE / "key.pkcs8.pem"))
    date = NOW.strftime("%a, %d %b %Y %H:%M:%S GMT")
    vectors = []
    for method, url, headers, body in OCI_REQUESTS:
        data = None if body is None else body.encode()
        request = requests.Request(method, url, headers=headers, data=data).prepare()
        request.headers["date"] = date
        signer.do_request_sign(request)
        names = ["date", "authorization"]
        if body is not None:
            names += ["content-length", "content-type", "x-content-sha256"]
        signed = {name: request.headers[name] for name in names if name in request.headers}
        vectors.append(
            {
                "method": method,
                "url": url,
                "headers": headers,
                "body": body,
                **OCI_KEY,
                "now_s": NOW_S,
                "signed": signed,
            }
        )
    write("oci_signature.json", vectors)


def decoded(token):
    header, claims, _ = token.split(".")
    part = lambda text: json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return {"token": token, "header": part(header), "claims": part(claims)}


def jwt():
    pem = (HERE / "key.pkcs8.pem").read_text()
    certificate = x509.load_pem_x509_certificate((HERE / "certificate.pem").read_bytes())
    url = "https://login.microsoftonline.us/tenant/oauth2/v2.0/token"
    entra = msal.oauth2cli.assertion.JwtAssertionCreator(
        pem,
        "PS256",
        sha256_thumbprint=certificate.fingerprint(hashes.SHA256()).hex(),
    ).create_normal_assertion(
        url,
        "11111111-2222-3333-4444-555555555555",
        issued_at=NOW_S,
        expires_at=NOW_S + 600,
        assertion_id="0190d6f0-0000-4000-8000-000000000001",
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": pem,
        "client_email": "hoth@p.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    write("google_account.json", account)
    credentials = google.oauth2.service_account.Credentials.from_service_account_info(
        account,
        scopes=[
            "https://www.googleapis.com/auth/bigquery",
            "https://www.googleapis.com/auth/cloud-platform",
        ],
    )
    with mock.patch("google.auth._helpers.utcnow", lambda: NOW.replace(tzinfo=None)):
        google_token = credentials._make_authorization_grant_assertion()
    write(
        "jwt.json",
        {
            "now_s": NOW_S,
            "entra": decoded(entra.decode()),
            "google": decoded(google_token.decode()),
        },
    )


make_keys()
aws_sigv4()
oci_signature()
jwt()
