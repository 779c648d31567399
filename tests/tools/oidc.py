"""An OpenID provider on a free port: discovery document, keys, and tokens good and bad.

Prints one line of JSON, {issuer, good: {name: token}, bad: {name: token}}, and serves until it is killed.
"""

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, length: int | None = None) -> str:
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ec_key = ec.generate_private_key(ec.SECP256R1())
stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
public, point = rsa_key.public_key().public_numbers(), ec_key.public_key().public_numbers()
KEYS = [
    {"kty": "RSA", "kid": "r", "n": number(public.n), "e": number(public.e)},
    {"kty": "EC", "kid": "e", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)},
    {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AA"},
]


class Provider(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = {
            "/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": issuer + "/keys"},
            "/keys": {"keys": KEYS},
        }.get(self.path)
        body = json.dumps(found).encode()
        self.send_response(200 if found else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
issuer = f"http://127.0.0.1:{server.server_port}"
threading.Thread(target=server.serve_forever).start()


def token(alg="RS256", kid="r", key=rsa_key, **changed):
    claims = {"iss": issuer, "aud": "ptqd", "sub": "me", "tenant": "vision", "scope": "openid jobs:write",
              "exp": time.time() + 600}
    claims.update(changed)
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"alg": alg, "typ": "JWT"} | ({"kid": kid} if kid else {})
    message = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    data = message.encode()
    if alg == "RS256":
        signature = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    elif alg == "ES256":
        r, s = utils.decode_dss_signature(ec_key.sign(data, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    elif alg == "HS256":
        # The well-known confusion: the public key taken for a secret.
        signature = hmac.new(KEYS[0]["n"].encode(), data, hashlib.sha256).digest()
    else:
        signature = b""
    return f"{message}.{b64(signature)}"


good = {
    "rs256": token(),
    "es256": token(alg="ES256", kid="e"),
    "without_kid": token(kid=None),
    "several_audiences": token(aud=["other", "ptqd"]),
    "a_little_late": token(exp=time.time() - 20),
    "other_tenant": token(tenant="speech"),
}
altered = token().split(".")
altered[1] = b64(json.dumps({"iss": issuer, "aud": "ptqd", "tenant": "admin", "scope": "admin", "exp": 9e9}).encode())
bad = {
    "none": token(alg="none"),
    "hs256": token(alg="HS256"),
    "another_signer": token(key=stranger),
    "altered": ".".join(altered),
    "other_issuer": token(iss="https://example.com"),
    "other_audience": token(aud="other"),
    "over": token(exp=time.time() - 600),
    "endless": token(exp=None),
    "not_yet": token(nbf=time.time() + 600),
    "without_tenant": token(tenant=None),
    "odd_tenant": token(tenant="a/b"),
    "unknown_key": token(kid="x"),
    "wrong_kind_of_key": token(kid="e"),
    "without_scope": token(scope=None),
    "four_parts": token() + ".x",
    "no_json": "eA.eA.eA",
}
print(json.dumps({"issuer": issuer, "good": good, "bad": bad}), flush=True)
