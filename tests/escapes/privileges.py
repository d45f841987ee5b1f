"""Attempts on the system's kernel: more rights, other namespaces, mounts, and rarely used system calls."""

from __future__ import annotations

import os
import shutil
import sys

from tests.escapes.vocabulary import Attempt, Scene, Try, attempt


async def _setuid_program(scene: Scene) -> list[Try]:
    """Root's, where the host is root."""
    code = """
import subprocess
tried("drop the ban", lambda: found(libc.prctl(38, 0, 0, 0, 0) == 0))
def user_of(program):
    code = "import os; print(os.getuid(), os.geteuid(), os.getgid(), os.getegid())"
    said = subprocess.run([program, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=20).stdout.split()
    assert said
    return found(set(said) - {str(os.getuid()), str(os.getgid())})
tried("run it", lambda: user_of(host["inputs"] + "/setuid"))
"""
    program = scene.shared.inputs / "setuid"
    shutil.copyfile(os.path.realpath(sys.executable), program)
    program.chmod(0o6755)
    return await scene.attack(scene.shared, code)


ATTEMPTS: list[Attempt] = [
    attempt(
        "another user",
        "become root, or any other user or group",
        "no capabilities",
        "EPERM EINVAL",
        """
for user in (0, 1, 1000):
    if user in os.getresuid(): continue
    tried(f"user {user}", lambda: os.setuid(user))
    tried(f"group {user}", lambda: os.setgid(user))
    tried(f"all of {user}", lambda: os.setresuid(user, user, user))
tried("groups", lambda: os.setgroups([0, 4, 6]))
""",
    ),
    attempt(
        "a setuid program",
        "run a program that is to run as its owner, planted in the inputs by the host itself",
        "no new privileges",
        "NothingThereError EACCES ENOENT",
        _setuid_program,
    ),
    attempt(
        "capabilities",
        "take capabilities back, for itself and for a program's file",
        "no capabilities",
        "EPERM NothingThereError ENOTSUP EOPNOTSUPP",
        """
import shutil, struct, sys
header, every = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0xFFFFFFFF] * 6)
tried("capset", lambda: system_call("capset", header, every))
tried("ambient", lambda: found(libc.prctl(47, 2, 21, 0, 0) == 0))
def held():
    lines = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    reading = 1 << 2 if host["sandbox"] == "landlock" else 0  # CAP_DAC_READ_SEARCH: Landlock says what can be read
    return [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(lines[name], 16) & ~reading]
tried("held", lambda: found(held()))
program = os.path.join(os.environ["HOME"], "program")
write(program)
file_capabilities = struct.pack("<5I", 0x02000001, 0xFFFFFFFF, 0, 0xFFFFFFFF, 0)
tried("on a file", lambda: os.setxattr(program, "security.capability", file_capabilities))
os.unlink(program)
""",
    ),
    attempt(
        "new namespaces",
        "make namespaces of its own, in which it would be root: unshare, clone and clone3",
        "seccomp",
        "EPERM ENOSYS",
        """
flags = {"user": 1 << 28, "mount": 1 << 17, "process": 1 << 29, "net": 1 << 30, "ipc": 1 << 27, "uts": 1 << 26,
         "cgroup": 1 << 25, "time": 1 << 7}
for name, flag in flags.items():
    tried(f"unshare {name}", lambda: in_child(lambda: system_call("unshare", flag)))
def forked(make):
    def attack():
        child = make()
        if child == 0: os._exit(0)
        os.waitpid(child, 0)
        return child
    return lambda: in_child(attack)
for name in ("user", "mount", "net", "process"):
    tried(f"clone {name}", forked(lambda: system_call("clone", flags[name] | signal.SIGCHLD, 0, 0, 0, 0)))
arguments = (ctypes.c_uint64 * 11)(flags["user"], 0, 0, 0, signal.SIGCHLD)
tried("clone3", forked(lambda: system_call("clone3", arguments, ctypes.sizeof(arguments))))
""",
    ),
    attempt(
        "other namespaces",
        "enter the namespaces of other processes",
        "seccomp",
        "EPERM EACCES ENOENT",
        """
def enter(path):
    descriptor = os.open(path, os.O_RDONLY)
    try: return system_call("setns", descriptor, 0)
    finally: os.close(descriptor)
for pid in ("self", 1, os.getppid(), host["pid"]):
    for name in ("user", "mnt", "net", "pid"):
        tried(f"{name} of {pid}", lambda: in_child(lambda: enter(f"/proc/{pid}/ns/{name}")))
""",
    ),
    attempt(
        "mounts",
        "mount a file system, make a read-only one writable, uncover what is below one",
        "seccomp",
        "EPERM",
        """
home = os.environ["HOME"].encode()
REMOUNT_BIND, BIND = 32 | 4096, 4096
tried("tmpfs", lambda: system_call("mount", b"t", home, b"tmpfs", 0, 0))
tried("proc", lambda: system_call("mount", b"p", home, b"proc", 0, 0))
tried("bind", lambda: system_call("mount", b"/", home, 0, BIND, 0))
tried("writable /", lambda: system_call("mount", 0, b"/", 0, REMOUNT_BIND, 0))
tried("writable inputs", lambda: system_call("mount", 0, host["inputs"].encode(), 0, REMOUNT_BIND, 0))
for place in (host["inputs"].encode(), b"/proc", b"/"):
    tried(f"unmount {place}", lambda: system_call("umount2", place, 2))
""",
    ),
    attempt(
        "mounts, the newer calls",
        "mount with fsopen, open_tree, move_mount and mount_setattr",
        "seccomp",
        "EPERM",
        """
here, cwd = b".", -100
tried("fsopen", lambda: system_call("fsopen", b"tmpfs", 0))
tried("open_tree", lambda: system_call("open_tree", cwd, b"/", 1))
tried("move_mount", lambda: system_call("move_mount", cwd, b"/", cwd, here, 0))
tried("fsmount", lambda: system_call("fsmount", -1, 0, 0))
tried("mount_setattr", lambda: system_call("mount_setattr", cwd, b"/", 0, ctypes.create_string_buffer(32), 32))
""",
    ),
    attempt(
        "another root",
        "change the root folder and climb out of it",
        "seccomp",
        "EPERM",
        """
home = os.environ["HOME"].encode()
tried("chroot", lambda: in_child(lambda: system_call("chroot", home)))
tried("pivot_root", lambda: in_child(lambda: system_call("pivot_root", home, home)))
""",
    ),
    attempt(
        "files by number",
        "open a file of the host by its number on the disk, past every path (the 'shocker' container escape)",
        "seccomp",
        "EPERM",
        """
import struct
handle = ctypes.create_string_buffer(struct.pack("=IiQ", 8, 1, 2), 144)  # the root folder of most file systems
room = ctypes.create_string_buffer(struct.pack("=I", 128), 144)
mount = ctypes.c_int()
for path in (host["input"], "/usr/lib", os.environ["HOME"]):
    descriptor = os.open(path, os.O_RDONLY)
    tried(f"by number below {path}", lambda: system_call("open_by_handle_at", descriptor, handle, 0))
    ask = lambda: system_call("name_to_handle_at", -100, path.encode(), room, ctypes.byref(mount), 0)
    tried(f"number of {path}", ask)
    os.close(descriptor)
""",
    ),
    attempt(
        "control groups",
        "leave the control group, make one, name a program for the host to run when one is empty",
        "mount namespace",
        "ENOENT EROFS EACCES EPERM",
        """
tried("see them", lambda: os.listdir("/sys/fs/cgroup"))
tried("make one", lambda: os.mkdir("/sys/fs/cgroup/mine"))
tried("leave", lambda: write("/sys/fs/cgroup/cgroup.procs", b"0"))
tried("release_agent", lambda: write("/sys/fs/cgroup/memory/release_agent", b"/tmp/x"))
""",
    ),
    attempt(
        "key rings",
        "use the system's key rings, which no namespace separates",
        "seccomp",
        "EPERM",
        """
SESSION, USER = -3, -4
tried("add_key", lambda: system_call("add_key", b"user", b"escaped", b"x", 1, USER))
tried("request_key", lambda: system_call("request_key", b"user", b"escaped", 0, SESSION))
for ring in (SESSION, USER):
    tried(f"ring {ring}", lambda: system_call("keyctl", 0, ring, 1))
""",
    ),
    attempt(
        "programs in the system's kernel",
        "load BPF, watch hardware counters, handle page faults",
        "seccomp",
        "EPERM",
        """
attributes = ctypes.create_string_buffer((1).to_bytes(4, "little") + (4).to_bytes(4, "little") * 3, 128)
tried("bpf map", lambda: system_call("bpf", 0, attributes, 128))
counter = ctypes.create_string_buffer((1).to_bytes(4, "little") + (128).to_bytes(4, "little"), 128)
tried("perf_event_open", lambda: system_call("perf_event_open", counter, 0, -1, -1, 0))
for flags in (0, 1):
    tried(f"userfaultfd {flags}", lambda: system_call("userfaultfd", flags))
""",
    ),
    attempt(
        "io_uring",
        "make system calls through a ring that no filter sees",
        "seccomp",
        "EPERM",
        """
tried("io_uring_setup", lambda: system_call("io_uring_setup", 8, ctypes.create_string_buffer(120)))
""",
    ),
    attempt(
        "another system's kernel",
        "load modules, boot another kernel, restart the machine",
        "seccomp",
        "EPERM",
        """
tried("init_module", lambda: system_call("init_module", b"x", 1, b""))
tried("finit_module", lambda: system_call("finit_module", -1, b"", 0))
tried("delete_module", lambda: system_call("delete_module", b"escaped", 0))
tried("kexec_load", lambda: system_call("kexec_load", 0, 0, 0, 0))
tried("kexec_file_load", lambda: system_call("kexec_file_load", -1, -1, 0, 0, 0))
tried("reboot without restarting", lambda: system_call("reboot", 0xFEE1DEAD, 672274793, 0, 0))
""",
    ),
    attempt(
        "the machine's state",
        "read the system's log, set the clock, swap, account, watch every file",
        "seccomp",
        "EPERM",
        """
import time
tried("log", lambda: system_call("syslog", 3, ctypes.create_string_buffer(4096), 4096))
now = (ctypes.c_long * 2)(int(time.time()), 0)
tried("clock", lambda: system_call("clock_settime", 0, now))
tried("swap", lambda: system_call("swapon", b"/escaped", 0))
tried("accounting", lambda: system_call("acct", b"/escaped"))
tried("quota", lambda: system_call("quotactl", 0x800007 << 8, b"/dev/vda", 0, 0))
tried("watch", lambda: system_call("fanotify_init", 4, 0))
""",
    ),
    attempt(
        "other processes' pages",
        "compare, move and advise the memory of other processes",
        "seccomp",
        "EPERM ESRCH",
        """
page, node, status = (ctypes.byref(kind(0)) for kind in (ctypes.c_void_p, ctypes.c_int, ctypes.c_int))
for pid in (1, os.getppid(), host["pid"]):
    tried(f"kcmp {pid}", lambda: system_call("kcmp", os.getpid(), pid, 1, 0, 0))
    tried(f"move_pages {pid}", lambda: system_call("move_pages", pid, 1, page, node, status, 2))
""",
    ),
    attempt(
        "its own limits",
        "raise its limits on memory, processes, files, file size, processor time and core dumps",
        "rlimits",
        "ValueError EPERM",
        """
import resource
for name in ("AS", "NPROC", "NOFILE", "FSIZE", "CPU", "CORE"):
    kind = getattr(resource, f"RLIMIT_{name}")
    tried(name, lambda: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
""",
    ),
    attempt(
        "other calling conventions",
        "make a forbidden system call as a 32-bit program would, and as an x32 program would",
        "seccomp",
        "EPERM ENOSYS SIGSYS SIGSEGV",
        """
import mmap
UNIX, STREAM = 1, 1
def through_the_old_gate():
    # push rbx; mov ebx, UNIX; mov ecx, STREAM; xor edx, edx; mov eax, socket; int 0x80; pop rbx; ret
    code = bytes.fromhex("53 bb01000000 b901000000 31d2 b867010000 cd80 5b c3")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if result < 0: raise OSError(-result, "refused")
    return result
if platform.machine() == "x86_64":
    tried("32 bits", lambda: in_child(through_the_old_gate))
    tried("x32", lambda: in_child(lambda: call_number(0x40000000 | CALLS["socket"][0], UNIX, STREAM, 0)))
tried("the plain call", lambda: system_call("socket", UNIX, STREAM, 0))
""",
    ),
    attempt(
        "undoing the filter",
        "replace the filter of system calls by an empty one, and then make a forbidden call",
        "seccomp",
        "EPERM",
        """
def undo():
    allow = (6).to_bytes(2, "little") + bytes(2) + (0x7FFF0000).to_bytes(4, "little")
    class Program(ctypes.Structure): _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))
    libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(Program(1, allow)), 0, 0)
    libc.prctl(22, ctypes.c_ulong(0), 0, 0, 0)
    return system_call("socket", 1, 1, 0)
tried("an empty filter", lambda: in_child(undo))
""",
    ),
]
