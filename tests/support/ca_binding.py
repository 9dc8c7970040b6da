"""The CA_ functions of the client module as another language sees them: ctypes and nothing else.

usage: ca_binding.py PIN     with P11GATE_MODULE and the client file in the environment
"""
import ctypes as c
import os
import sys

UL = c.c_ulong
SERIAL = 4
ID_INVALID, ID_EXISTS = 0x80000068, 0x80000069


class ApplicationId(c.Structure):
    _fields_ = [("id", c.c_ubyte * 16)]


ID = c.POINTER(ApplicationId)
FUNCTIONS = {
    "CA_SetApplicationID": [UL, UL],
    "CA_OpenApplicationID": [UL, UL, UL],
    "CA_CloseApplicationID": [UL, UL, UL],
    "CA_SetApplicationIDV2": [ID],
    "CA_OpenApplicationIDV2": [UL, ID],
    "CA_CloseApplicationIDV2": [UL, ID],
    "CA_GetApplicationID": [ID],
    "CA_RandomizeApplicationID": [],
    "CA_OpenSessionWithAppID": [UL, UL, UL, UL, c.c_void_p, c.c_void_p, c.POINTER(UL)],
    "CA_OpenSessionWithAppIDV2": [UL, UL, ID, c.c_void_p, c.c_void_p, c.POINTER(UL)],
    "CA_GetSessionInfo": [UL] + [c.POINTER(UL)] * 4,
    "C_Initialize": [c.c_void_p],
    "C_Finalize": [c.c_void_p],
    "C_GetSlotList": [c.c_ubyte, c.POINTER(UL), c.POINTER(UL)],
    "C_Login": [UL, UL, c.c_char_p, UL],
    "C_CloseSession": [UL],
}
library = c.CDLL(os.environ["P11GATE_MODULE"])
calls = {}
for name, arguments in FUNCTIONS.items():
    calls[name] = getattr(library, name)
    calls[name].argtypes, calls[name].restype = arguments, UL


def expect(wanted, name, *arguments):
    rv = calls[name](*arguments)
    if rv != wanted:
        sys.exit(f"{name}{arguments}: 0x{rv:x} instead of 0x{wanted:x}")


def current():
    value = ApplicationId()
    expect(0, "CA_GetApplicationID", c.byref(value))
    return bytes(value.id)


def session_info(session):
    values = [UL() for _ in range(4)]
    expect(0, "CA_GetSessionInfo", session, *[c.byref(v) for v in values])
    return [v.value for v in values]


def same(found, wanted):
    if found != wanted:
        sys.exit(f"{found} instead of {wanted}")


pin = sys.argv[1].encode()
long_id = ApplicationId((c.c_ubyte * 16)(*range(16)))
expect(0x190, "CA_OpenApplicationID", 1, 7, 9)
expect(0, "CA_SetApplicationID", 7, 9)
expect(0, "C_Initialize", None)
same(current().hex(), "0000000700000009" + "00" * 8)

slot, count, session = UL(), UL(1), UL()
expect(0, "C_GetSlotList", 1, c.byref(slot), c.byref(count))
expect(3, "CA_OpenApplicationID", slot.value ^ 1, 7, 9)
expect(0, "CA_OpenApplicationID", slot, 7, 9)
expect(ID_EXISTS, "CA_OpenApplicationID", slot, 7, 9)
expect(0, "CA_OpenSessionWithAppID", slot, SERIAL, 7, 9, None, None, c.byref(session))
expect(0, "C_Login", session, 1, pin, len(pin))
expect(0, "C_CloseSession", session)
expect(0, "CA_OpenSessionWithAppID", slot, SERIAL, 7, 9, None, None, c.byref(session))
same(session_info(session), [7, 9, slot.value, 1])
expect(0, "CA_CloseApplicationID", slot, 7, 9)
expect(ID_INVALID, "CA_CloseApplicationID", slot, 7, 9)
expect(0xB3, "C_CloseSession", session)

expect(7, "CA_SetApplicationIDV2", None)
expect(0, "CA_SetApplicationIDV2", c.byref(long_id))
same(current(), bytes(range(16)))
expect(0, "CA_OpenApplicationIDV2", slot, c.byref(long_id))
expect(0, "CA_OpenSessionWithAppIDV2", slot, SERIAL, c.byref(long_id), None, None, c.byref(session))
same(session_info(session), [0x00010203, 0x04050607, slot.value, 0])
expect(0, "CA_CloseApplicationIDV2", slot, c.byref(long_id))
expect(ID_INVALID, "CA_CloseApplicationIDV2", slot, c.byref(long_id))

expect(0, "CA_RandomizeApplicationID")
first = current()
expect(0, "CA_RandomizeApplicationID")
if first == current():
    sys.exit("two random IDs are the same")
expect(0, "C_Finalize", None)
