"""with_seccomp.py PROFILE COMMAND…: run it under a filter in Docker's form, as an engine would: loaded with
the privilege to do so, before that is dropped, so that setuid programs stay what they are."""
import ctypes
import json
import os
import sys

ALLOW, ERRNO, NO_NEW_PRIVS, UNKNOWN = 0x7FFF0000, 0x00050000, 3, -1
lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
lib.seccomp_init.restype = ctypes.c_void_p
with open(sys.argv[1], encoding="utf-8") as f:
    profile = json.load(f)
assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
c = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(ALLOW)))
assert lib.seccomp_attr_set(c, NO_NEW_PRIVS, 0) == 0
rules = 0
for rule in profile["syscalls"]:
    assert rule["action"] == "SCMP_ACT_ERRNO"
    for name in rule["names"]:
        nr = lib.seccomp_syscall_resolve_name(name.encode())
        if nr != UNKNOWN and lib.seccomp_rule_add(c, ctypes.c_uint32(ERRNO | rule["errnoRet"]), nr, 0) == 0:
            rules += 1
assert rules > 30 and lib.seccomp_load(c) == 0
os.execvp(sys.argv[2], sys.argv[2:])
