"""JSON Web Tokens: the parts that Entra checks of a client's assertion.

Signatures are verified with whole numbers, so that the mock needs the standard
library only. It is far too slow and open to timing for any other use.
"""

import base64
import hashlib
import json

# DigestInfo of SHA-256 before the digest (RFC 8017, section 9.2, note 1).
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")

# Salt of PS256: as long as the digest (RFC 7518, section 3.5).
SALT = 32


class Malformed(Exception):
    """A text that is no token, or a file that is no certificate."""


class Token:
    """A token taken apart, and not verified yet."""

    def __init__(self, text):
        try:
            header, claims, signature = text.split(".")
            self.header = json.loads(decode(header))
            self.claims = json.loads(decode(claims))
            self.signature = decode(signature)
        except ValueError as error:
            raise Malformed("the assertion is no JSON Web Token") from error
        if not (isinstance(self.header, dict) and isinstance(self.claims, dict)):
            raise Malformed("the parts of the assertion are no JSON objects")
        self.signed = f"{header}.{claims}".encode()

    def is_signed_by(self, key):
        """Returns whether a key made the signature, by RS256 or PS256."""
        rules = {"RS256": is_pkcs1_signature, "PS256": is_pss_signature}
        rule = rules.get(self.header.get("alg"))
        return rule is not None and rule(key, self.signed, self.signature)


class Key:
    """An RSA public key."""

    def __init__(self, modulus, exponent):
        self.modulus = modulus
        self.exponent = exponent
        self.bits = modulus.bit_length()

    def open(self, signature):
        """Returns the encoded message of a signature, or `None` if the
        signature does not have the length of the key."""
        length = (self.bits + 7) // 8
        number = int.from_bytes(signature)
        if len(signature) != length or number >= self.modulus:
            return None
        return pow(number, self.exponent, self.modulus).to_bytes(length)


def is_pkcs1_signature(key, message, signature):
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.2)."""
    opened = key.open(signature)
    if opened is None:
        return False
    info = SHA256_INFO + hashlib.sha256(message).digest()
    return opened == b"\x00\x01" + b"\xff" * (len(opened) - len(info) - 3) + b"\x00" + info


def is_pss_signature(key, message, signature):
    """RSASSA-PSS with SHA-256 (RFC 8017, sections 8.1.2 and 9.1.2)."""
    opened = key.open(signature)
    if opened is None:
        return False
    bits = key.bits - 1
    encoded = opened[-((bits + 7) // 8) :]
    if any(opened[: len(opened) - len(encoded)]) or encoded[-1] != 0xBC:
        return False
    masked, digest = encoded[: -SALT - 1], encoded[-SALT - 1 : -1]
    block = bytearray(a ^ b for a, b in zip(masked, mask(digest, len(masked)), strict=True))
    block[0] &= 0xFF >> (8 * len(encoded) - bits)
    padding, salt = bytes(block[: -SALT - 1]), bytes(block[-SALT:])
    if any(padding) or block[-SALT - 1] != 1:
        return False
    again = hashlib.sha256(bytes(8) + hashlib.sha256(message).digest() + salt)
    return again.digest() == digest


def mask(seed, length):
    """MGF1 with SHA-256 (RFC 8017, appendix B.2.1)."""
    blocks = (
        hashlib.sha256(seed + count.to_bytes(4)).digest() for count in range(length // 32 + 1)
    )
    return b"".join(blocks)[:length]


def decode(text):
    """Decodes base64url without padding, as tokens have it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data):
    """Encodes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def certificate_bytes(pem):
    """Returns the DER bytes of the first certificate in a PEM file."""
    try:
        body = pem.split("-----BEGIN CERTIFICATE-----")[1].split("-----END CERTIFICATE-----")[0]
        return base64.b64decode(body)
    except (IndexError, ValueError) as error:
        raise Malformed("there is no certificate in the PEM text") from error


def certificate_key(der):
    """Returns the RSA public key of a certificate (RFC 5280, section 4.1)."""
    try:
        certificate = elements(element(der)[1])
        fields = [item for item in elements(certificate[0][1]) if item[0] != 0xA0]
        # Serial number, signature, issuer, validity, subject, then the key.
        bits = elements(fields[5][1])[1][1]
        # The first byte of a bit string counts its unused bits.
        modulus, exponent = elements(element(bits[1:])[1])
        return Key(int.from_bytes(modulus[1]), int.from_bytes(exponent[1]))
    except (IndexError, ValueError) as error:
        raise Malformed("the certificate has no RSA key") from error


def element(data):
    """Splits the first DER element off: its tag, its content, the rest."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start])
    return tag, data[start : start + length], data[start + length :]


def elements(data):
    found = []
    while data:
        tag, content, data = element(data)
        found.append((tag, content))
    return found
