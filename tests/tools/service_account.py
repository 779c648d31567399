"""Prints the key file of a Google service account that is none: service_account.py ADDRESS. Its storage is at the address,
and nobody is asked for tokens."""

import json
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
print(json.dumps({
    "type": "service_account",
    "private_key": key.decode(),
    "private_key_id": "0",
    "client_email": "ptqd@example.com",
    "gcs_base_url": sys.argv[1],
    "disable_oauth": True,
}))
