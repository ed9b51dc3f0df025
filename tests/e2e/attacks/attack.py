"""What hostile code tries, one attempt a name: exit 0 when it was refused, 1 when it worked.
Runs inside a sandbox; attack.c has the same."""
import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
MIB = 1 << 20
# numbers of x86_64 and, where they differ, of the machines with the common table
NR = dict(zip(
    "ptrace process_vm_readv process_vm_writev kcmp keyctl add_key request_key bpf perf_event_open userfaultfd unshare setns "
    "pivot_root chroot mount umount2 name_to_handle_at open_by_handle_at init_module syslog personality sethostname clone".split(),
    (101, 310, 311, 312, 250, 248, 249, 321, 298, 323, 272, 308, 155, 161, 165, 166, 303, 304, 175, 103, 135, 170, 56) if X86 else
    (117, 270, 271, 272, 219, 217, 218, 280, 241, 282, 97, 268, 41, 51, 40, 39, 264, 265, 105, 116, 92, 161, 220)))
NR |= {"io_uring_setup": 425, "io_uring_enter": 426, "open_tree": 428, "move_mount": 429, "fsopen": 430, "clone3": 435,
       "pidfd_open": 434, "pidfd_getfd": 438, "mount_setattr": 442}


def call(name, *args):
    ctypes.set_errno(0)
    r = libc.syscall(NR[name] if isinstance(name, str) else name, *[a if isinstance(a, bytes) else ctypes.c_long(a) for a in args])
    return r, ctypes.get_errno()


def works(name, *args):
    return call(name, *args)[0] >= 0


def attempt(f, *args):
    """True when it raised nothing."""
    try:
        f(*args)
        return True
    except (OSError, MemoryError, RuntimeError):
        return False


def forks():
    for n in range(500):
        try:
            if not os.fork():
                signal.pause()
        except OSError:
            return False
    return True


def threads():
    threading.stack_size(65536)
    for _ in range(500):
        try:
            threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
        except RuntimeError:
            os._exit(0)
    os._exit(1)


def heap():
    hog = []
    try:
        for _ in range(256):
            hog.append(bytearray(b"\1" * (16 * MIB)))
    except MemoryError:
        return False
    return True


def fills(fd, mib):
    block = b"\1" * MIB
    try:
        return all(os.write(fd, block) == MIB for _ in range(mib))
    except OSError:
        return False


def tmpfs():
    for path in ("/tmp/fill", "/dev/shm/fill"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        if fills(fd, 512):
            return True
        os.close(fd)
        os.unlink(path)
    return False


def memfd():
    return fills(os.memfd_create("x"), 4096)


def pipes():
    held = []
    for _ in range(5000):
        try:
            r, w = os.pipe()
            held += [r, w]
            os.set_blocking(w, False)
            attempt(fcntl.fcntl, w, 1031, MIB)
            while os.write(w, b"x" * 65536):
                pass
        except BlockingIOError:
            continue
        except OSError:
            return False
    return True


def sockets():
    held = []
    for _ in range(5000):
        try:
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            held.append(pair)
            pair[0].setblocking(False)
            while pair[0].send(b"x" * 65536):
                pass
        except BlockingIOError:
            continue
        except OSError:
            return False
    return True


def cache():
    fd = os.open("cache.bin", os.O_RDWR | os.O_CREAT)
    fills(fd, 144)
    for _ in range(4):
        os.lseek(fd, 0, 0)
        while os.read(fd, MIB):
            pass
    os.unlink("cache.bin")
    return False


def disk():
    for i in range(64):
        fd = os.open(f"fill{i}", os.O_WRONLY | os.O_CREAT)
        if not fills(fd, 64):
            return False
        os.close(fd)
    return True


def inodes():
    for i in range(2_000_000):
        try:
            os.close(os.open(f"{'/tmp' if i % 2 else '.'}/i{i}", os.O_WRONLY | os.O_CREAT))
        except OSError:
            return False
    return True


def sparse():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return attempt(os.truncate, os.open("giant", os.O_RDWR | os.O_CREAT), 1 << 40)


def readable(path):
    try:
        with open(path, "rb") as f:
            return path.endswith("/mem") or len(f.read(16)) > 0
    except OSError:
        return False


def others():
    return any(readable(f"/proc/1/{n}") for n in ("environ", "mem", "maps", "stack", "syscall", "auxv")) or attempt(os.listdir, "/proc/1/fd")


def descriptors():
    return any(attempt(fcntl.fcntl, fd, fcntl.F_GETFD) for fd in range(3, 1024))


def keys():
    return works("keyctl", 0, -3, 0) or works("add_key", b"user", b"x", b"y", 1, -3) or works("request_key", b"user", b"x", 0, -3)


def host_files():
    return any(map(readable, ("/etc/shadow", "/root/.bashrc", "/var/log/dpkg.log", "/etc/machine-id", "/dev/mem", "/dev/kmsg", "/dev/vda",
                              "/boot/vmlinuz", "/proc/kcore", "/proc/kallsyms", "/proc/keys"))) or os.path.exists("/sys/kernel")


def proc_secrets():
    def written(path):
        try:
            with open(path, "wb", buffering=0) as f:
                return f.write(b"-900") > 0
        except OSError:
            return False
    return any(map(readable, ("/proc/cmdline", "/proc/partitions", "/proc/modules", "/proc/interrupts", "/proc/timer_list",
                              "/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/core_pattern"))) or \
        any(map(written, ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/self/oom_score_adj",
                          "/proc/1/oom_score_adj")))


def trace():
    return works("ptrace", 16, 1, 0, 0) or works("ptrace", 0, 0, 0, 0) or works("process_vm_readv", 1, 0, 0, 0, 0, 0) or \
        works("process_vm_writev", 1, 0, 0, 0, 0, 0) or works("kcmp", 1, 1, 0, 0, 0) or works("pidfd_getfd", 0, 0, 0)


def mounts():
    return works("mount", b"x", b"/tmp", b"tmpfs", 0, 0) or works("umount2", b"/tmp", 2) or works("pivot_root", b"/tmp", b"/tmp") or \
        works("chroot", b"/tmp") or works("open_tree", -100, b"/", 1) or works("move_mount", 0, b"", 0, b"", 0) or \
        works("fsopen", b"tmpfs", 0) or works("mount_setattr", -100, b"/", 0, 0, 0) or works("name_to_handle_at", -100, b"/", 0, 0, 0) or \
        works("open_by_handle_at", 0, 0, 0)


def namespaces():
    for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000, 0x80):
        if works("unshare", flag):
            return True
        r, e = call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)
        if r == 0:
            os._exit(0)
        if r > 0 or e != errno.EPERM:
            return True
    net = os.open("/proc/self/ns/net", os.O_RDONLY)
    return works("setns", net, 0) or call("clone3", 0, 0)[1] != errno.ENOSYS


def kernel():
    none = bytes(128)
    return works("bpf", 0, none, 128) or works("perf_event_open", none, 0, -1, -1, 0) or works("io_uring_setup", 8, none) or \
        works("io_uring_enter", 0, 0, 0, 0, 0) or works("userfaultfd", 0) or works("userfaultfd", 1) or works("personality", 0x40000) or \
        works("init_module", 0, 0, b"") or works("syslog", 3, none, 64) or works("sethostname", b"x", 1)


def devices():
    return attempt(os.mknod, "/tmp/m", stat.S_IFCHR | 0o666, os.makedev(1, 1)) or \
        attempt(os.mknod, "/tmp/b", stat.S_IFBLK | 0o666, os.makedev(254, 0))


def terminal():
    for request in (0x5412, 0x5412 | 1 << 32, 0x541c):
        ctypes.set_errno(0)
        if libc.syscall(16 if X86 else 29, 0, ctypes.c_ulong(request), ctypes.c_char_p(b"x")) >= 0 or ctypes.get_errno() != errno.EPERM:
            return True
    return False


def families():
    usual = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
    return any(attempt(socket.socket, f, kind) for f in range(46) for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM)
               if f not in usual or (f != socket.AF_UNIX and kind == socket.SOCK_RAW))


def network():
    def reaches(family, addr, kind):
        with socket.socket(family, kind) as s:
            s.settimeout(0.3)
            try:
                s.connect(addr)
                return kind == socket.SOCK_STREAM or s.send(b"x") == 1
            except OSError:
                return False
    for port in (22, 53, 80, 443, 8000, 8090, 5432):
        for ip in ("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "1.1.1.1"):
            if reaches(socket.AF_INET, (ip, port), socket.SOCK_STREAM) or \
                    ip != "127.0.0.1" and reaches(socket.AF_INET, (ip, port), socket.SOCK_DGRAM):
                return True
        if any(reaches(socket.AF_INET6, (ip, port), socket.SOCK_STREAM) for ip in ("::1", "2606:4700:4700::1111", "fe80::1")):
            return True
    return attempt(socket.getaddrinfo, "example.com", 80)


def agent():
    for s in range(1, 65):
        attempt(os.kill, 1, s)
    for _ in range(2000):
        attempt(os.kill, 1, signal.SIGCHLD)
    return works("ptrace", 16, 1, 0, 0) or attempt(os.open, "/proc/1/mem", os.O_RDWR) or attempt(os.open, "/proc/1/fd/10", os.O_RDWR) or \
        works("pidfd_getfd", max(call("pidfd_open", 1, 0)[0], 0), 10, 0)


def machine(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return True


def abi32():
    return machine(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid by int 0x80


def x32():
    return machine(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3")  # getpid with the bit of x32


def daemons():
    for _ in range(5):
        if not os.fork():
            os.setsid()
            for s in range(1, 32):
                attempt(signal.signal, s, signal.SIG_IGN)
            if os.fork():
                os._exit(0)
            for fd in range(3):
                os.close(fd)
            while True:
                time.sleep(100)
    return False


resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.exit(1 if globals()[sys.argv[1]]() else 0)
