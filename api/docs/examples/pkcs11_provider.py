#!/usr/bin/env python3
"""A challenge-response provider for a password database: a key behind p11gate answers.

A database such as KDBX 4 gives the salt of its key derivation as the challenge, and the response becomes a part of its key. Python's
standard library is all that this needs.

    def ask(reason):
        return getpass.getpass(f"{reason}: ")           # None: the person gave up

    provider = Pkcs11Provider("https://hsm.example.org:8443", slot="demo", key_label="unlock", pin=ask,
                              ca="ca.crt", certificate="alice.crt", key="alice.key")
    response = provider.respond(salt)                     # 32 bytes

In place of slot, key_id and key_label there may be a PKCS#11 URL (RFC 7512): url="pkcs11:token=demo;object=unlock".
From the command line: pkcs11_provider.py --help
"""
import argparse
import base64
import getpass
import http.client
import json
import shlex
import ssl
import subprocess
import sys
import urllib.parse

TOKEN_ATTRIBUTES = ("token", "manufacturer", "serial", "model")
PIN_TRIES = 3  # wrong PINs until this gives up; the token may lock sooner


class ProviderError(Exception):
    """The gateway refused; `problem` is its answer (RFC 9457), or {}."""

    def __init__(self, text, problem=None):
        super().__init__(text)
        self.problem = problem or {}


class Cancelled(ProviderError):
    """Nobody gave the PIN."""


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def split_url(url):
    """The token's half and the key's half of a PKCS#11 URL; None for one that is not there."""
    if not url.startswith("pkcs11:") or "?" in url:
        raise ValueError("a PKCS#11 URL begins with pkcs11: and has no query here; the PIN is asked for")
    attributes = url[len("pkcs11:"):].split(";")
    of_token = [a for a in attributes if a.split("=")[0] in TOKEN_ATTRIBUTES]
    of_key = [a for a in attributes if a not in of_token and a]
    return tuple("pkcs11:" + ";".join(half) if half else None for half in (of_token, of_key))


class Pkcs11Provider:
    """
    `slot` is its name, or label:LABEL or serial:SERIAL of its token; `key_id` is CKA_ID in hexadecimal. Without key_id, key_label and a key
    in `url` the one key that answers best is taken. `pin` is called with the reason, and gives the PIN or None. `profile`, `frame` and
    `normalize` are those of the request.
    """

    def __init__(self, gateway, slot=None, url=None, key_id=None, key_label=None, pin=None, ca=None, certificate=None,
                 key=None, profile=None, frame=None, normalize=None, timeout=60):
        where = urllib.parse.urlsplit(gateway)
        selector = {"id": key_id, "label": key_label}
        if url is not None:
            token, selector["uri"] = split_url(url)
            slot = slot or token
        if slot is None:
            raise ValueError("give a slot, or a URL that names a token")
        self.path = "/v1/slots/" + urllib.parse.quote(slot, safe="")
        self.members = {"profile": profile, "frame": frame, "normalize": normalize}
        self.members["key"] = {name: value for name, value in selector.items() if value} or None
        self.pin = pin or (lambda reason: None)
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(certificate, key)
        self.connection = http.client.HTTPSConnection(where.hostname, where.port or 443, context=context, timeout=timeout)

    def respond(self, challenge):
        """The response to the challenge: the same bytes each time."""
        body = {name: value for name, value in self.members.items() if value is not None}
        body["challenge"] = base64url(challenge)
        status, answer = self._post(self.path + "/challenge-response", body)
        if self._is(status, answer, "login-required"):
            self._with_pin("PIN of the token", self.path + "/applications/current/login", accepted=(200, 409))
            status, answer = self._post(self.path + "/challenge-response", body)
        if self._is(status, answer, "reauthentication-required"):
            status, answer = self._reauthenticate(answer)
        if status != 200:
            raise ProviderError(f"{answer.get('title')} {answer.get('detail', '')}".strip(), answer)
        if not answer["deterministic"]:
            raise ProviderError("the response would not come twice, and the database could not be opened again")
        return from_base64url(answer["response"])

    def close(self):
        self.connection.close()

    def _reauthenticate(self, problem):
        """The key asks for its PIN at each use: the operation holds the challenge until it comes."""
        try:
            return self._with_pin("PIN for this use of the key", problem["reauthenticate"]["href"], accepted=(200,))
        except Cancelled:
            self._request("DELETE", problem["operation"]["href"])
            raise

    def _with_pin(self, reason, path, accepted):
        for _ in range(PIN_TRIES):
            pin = self.pin(reason)
            if pin is None:
                raise Cancelled("nobody gave the PIN")
            status, answer = self._post(path, {"pin": pin})
            if status in accepted:
                return status, answer
            if not self._is(status, answer, "pin-incorrect"):
                break
            reason = "That PIN was wrong; " + reason.removeprefix("That PIN was wrong; ")
        raise ProviderError(f"{answer.get('title')} {answer.get('detail', '')}".strip(), answer)

    @staticmethod
    def _is(status, answer, problem):
        return status == 401 and answer.get("type", "").endswith("/" + problem)

    def _post(self, path, body):
        return self._request("POST", path, json.dumps(body))

    def _request(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}


def arguments():
    parser = argparse.ArgumentParser(description="Answers a challenge with a key behind p11gate.")
    parser.add_argument("--gateway", required=True, help="https://HOST:PORT")
    parser.add_argument("--slot", help="name of the slot, or label:LABEL or serial:SERIAL of its token")
    parser.add_argument("--url", help="PKCS#11 URL of token and key")
    parser.add_argument("--key-id", help="CKA_ID in hexadecimal")
    parser.add_argument("--key-label", help="CKA_LABEL")
    parser.add_argument("--profile", choices=["raw", "hmac-secret", "yubikey-hmac-sha1"])
    parser.add_argument("--frame", choices=["variable", "fixed64"])
    parser.add_argument("--normalize", choices=["none", "sha256"])
    parser.add_argument("--pin-command", help="program that prints the PIN; else the terminal is asked")
    parser.add_argument("--ca", required=True, help="file of the gateway's authority")
    parser.add_argument("--certificate", required=True, help="file of the client's certificate")
    parser.add_argument("--key", required=True, help="file of the client's private key")
    parser.add_argument("challenge", help="the challenge in hexadecimal")
    return parser.parse_args()


def main():
    given = vars(arguments())
    challenge = bytes.fromhex(given.pop("challenge"))
    command = given.pop("pin_command")

    def ask(reason):
        if command is None:
            return getpass.getpass(f"{reason}: ") or None
        printed = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, check=False)
        return printed.stdout.decode().rstrip("\n") if printed.returncode == 0 else None

    try:
        print(Pkcs11Provider(pin=ask, **given).respond(challenge).hex())
    except (ProviderError, ValueError, OSError) as error:
        sys.exit(f"pkcs11_provider: {error}")


if __name__ == "__main__":
    main()
