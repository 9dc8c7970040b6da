"""The provider of api/docs/examples with PIN callbacks of several kinds. Prints "ok NAME" or "not ok NAME: MESSAGE".

usage: provider.py EXPECTED     the response of key "unlock" to the challenge b"salt", in hexadecimal; nobody is logged in
"""
import os
import sys

import pkcs11_provider as example

GATEWAY, PIN, SLOT = (os.environ["P11GATE_" + name] for name in ("URL", "PIN", "SLOT"))
FILES = {"ca": os.environ["P11GATE_CA"], "certificate": os.environ["P11GATE_CERT"], "key": os.environ["P11GATE_KEY"]}
EXPECTED = bytes.fromhex(sys.argv[1])


class Person:
    """Gives these PINs, one after the other, and then none."""

    def __init__(self, *pins):
        self.pins, self.asked = list(pins), []

    def __call__(self, reason):
        self.asked.append(reason)
        return self.pins.pop(0) if self.pins else None


def provider(person, **more):
    return example.Pkcs11Provider(GATEWAY, pin=person, **{"slot": SLOT, **FILES, **more})


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"{got!r} instead of {wanted!r}")


def refused(kind, respond, problem=None):
    try:
        respond()
    except kind as error:
        if problem:
            equal(error.problem.get("type"), "/docs/errors/" + problem)
        return error
    raise AssertionError("it answered")


def nobody_gives_the_pin():
    person = Person()
    refused(example.Cancelled, lambda: provider(person, key_label="unlock").respond(b"salt"))
    equal(len(person.asked), 1)


def a_wrong_pin_is_asked_for_again():
    person = Person("wrong", PIN)
    equal(provider(person, key_label="unlock").respond(b"salt"), EXPECTED)
    equal(len(person.asked), 2)
    equal("wrong" in person.asked[1], True)


def who_is_logged_in_is_not_asked():
    person = Person()
    equal(provider(person, key_label="unlock").respond(b"salt"), EXPECTED)
    equal(person.asked, [])


def the_key_is_found_by_its_id():
    equal(provider(Person(), key_id=b"unlock".hex()).respond(b"salt"), EXPECTED)
    equal(provider(Person(), key_id=b"unlock".hex(), key_label="unlock").respond(b"salt"), EXPECTED)
    refused(example.ProviderError, lambda: provider(Person(), key_id="00", key_label="unlock").respond(b"salt"), "key-not-found")


def token_and_key_are_found_by_url():
    token = os.environ["P11GATE_TOKEN"]
    url = f"pkcs11:token={token};model=SoftHSM%20v2;object=unlock"
    equal(provider(Person(), slot=None, url=url).respond(b"salt"), EXPECTED)
    equal(provider(Person(), slot=f"label:{token}", key_label="unlock").respond(b"salt"), EXPECTED)
    refused(example.ProviderError, lambda: provider(Person(), slot=None, url="pkcs11:token=other;object=unlock").respond(b"salt"),
            "slot-not-found")


def several_keys_are_told():
    error = refused(example.ProviderError, lambda: provider(Person()).respond(b"salt"), "key-ambiguous")
    equal(sorted(c["label"] for c in error.problem["candidates"]), ["other", "unlock"])


def a_careful_key_asks_each_time():
    person = Person(PIN, PIN)
    asking = provider(person, key_label="careful")
    equal(asking.respond(b"salt"), asking.respond(b"salt"))
    equal(len(person.asked), 2)
    refused(example.Cancelled, lambda: asking.respond(b"salt"))
    equal(len(person.asked), 3)


for case in (nobody_gives_the_pin, a_wrong_pin_is_asked_for_again, who_is_logged_in_is_not_asked, the_key_is_found_by_its_id,
             token_and_key_are_found_by_url, several_keys_are_told, a_careful_key_asks_each_time):
    try:
        case()
        print("ok", case.__name__)
    except Exception as error:  # pylint: disable=broad-except
        print(f"not ok {case.__name__}: {type(error).__name__} {error}")
