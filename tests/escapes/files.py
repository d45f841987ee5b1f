"""Attempts on files: reading the host's, changing what is read-only, leaving something for the next kernel."""

from __future__ import annotations

from pathlib import Path

from rlm_kernel.errors import RLMError
from rlm_kernel.host import inputs
from tests.escapes.vocabulary import UNHARMED, Attempt, Drive, Scene, Try, attempt, differs, judged
from tests.kernel.vocabulary import run

ATTEMPTS: list[Attempt] = [
    attempt(
        "password file",
        "read /etc/shadow, /etc/passwd, the machine's id and its SSH keys",
        "mount namespace",
        "ENOENT",
        """
for path in ("/etc/shadow", "/etc/passwd", "/etc/machine-id", "/etc/ssh", "/run/secrets", "/var/lib"):
    tried(path, lambda: look(path))
""",
    ),
    attempt(
        "a file anyone may read",
        "read a world-readable file of the host by its path, and by a path through ..",
        "mount namespace",
        "ENOENT",
        """
secret = host["secret_file"]
tried("by its path", lambda: read(secret))
tried("through ..", lambda: read("../" * 20 + secret))
tried("its folder", lambda: os.listdir(host["folder"]))
""",
    ),
    attempt(
        "home",
        "find anything but Python in the home folder of the user",
        "mount namespace",
        "NothingThereError ENOENT EACCES",
        """
def strangers(folder):
    python = [path for path in host["python_folders"]]
    names = [os.path.join(folder, name) for name in os.listdir(folder)]
    return found([name for name in names if not any(path.startswith(name) for path in python)])
for folder in (host["home"], "/home", "/root"):
    tried(folder, lambda: strangers(folder))
""",
    ),
    attempt(
        "the root of other processes",
        "reach the host's files through /proc/PID/root and /proc/PID/cwd of every visible process",
        "mount namespace",
        "ENOENT EACCES",
        """
for pid in (*pids(), "self", "thread-self", host["pid"]):
    for door in ("root", "cwd", "root/..", "cwd/../../../.."):
        tried(f"{pid} {door}", lambda: read(f"/proc/{pid}/{door}/{host['secret_file']}"))
""",
    ),
    attempt(
        "symbolic link",
        "make a link to a secret in the writable folder and read through it",
        "mount namespace",
        "ENOENT EACCES",
        """
link = os.path.join(os.environ["HOME"], "link")
for target in (host["secret_file"], host["folder"], "/proc/1/root" + host["secret_file"]):
    if os.path.lexists(link): os.unlink(link)
    os.symlink(target, link)
    tried(target, lambda: look(link) if not os.path.isdir(link) else read(f"{link}/secret"))
os.unlink(link)
""",
    ),
    attempt(
        "hard link",
        "link read-only files into the writable folder, to change them there",
        "mounts of their own",
        "EXDEV",
        """
import sys
for target in (host["input"], os.path.realpath(sys.executable), os.__file__):
    tried(target, lambda: os.link(target, os.path.join(os.environ["HOME"], "hard")))
""",
    ),
    attempt(
        "reopening the input",
        "open the read-only input again for writing, through its descriptor",
        "mount: read-only",
        "EROFS EACCES",
        """
import mmap
descriptor = os.open(host["input"], os.O_RDONLY)
for flag in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
    tried(f"reopen {flag}", lambda: os.open(f"/proc/self/fd/{descriptor}", flag))
tried("shared memory map", lambda: mmap.mmap(descriptor, 0, mmap.MAP_SHARED, mmap.PROT_WRITE))
os.close(descriptor)
""",
    ),
    attempt(
        "changing the input",
        "write, truncate, replace, remove, and chmod the input",
        "mount: read-only",
        "EROFS EACCES",
        """
path = host["input"]
tried("write", lambda: write(path))
tried("truncate", lambda: os.truncate(path, 0))
tried("chmod", lambda: os.chmod(path, 0o777))
tried("utime", lambda: os.utime(path, (0, 0)))
tried("remove", lambda: os.unlink(path))
tried("rename", lambda: os.rename(path, path + "2"))
tried("new file", lambda: write(host["inputs"] + "/new"))
tried("attribute", lambda: os.setxattr(path, "user.x", b"x"))
""",
    ),
    attempt(
        "writing outside",
        "make a file in every place of the host that has a name, Python and its packages among them",
        "mount: read-only",
        "EROFS ENOENT EACCES",
        """
for place in host["places"]:
    tried(place, lambda: write(os.path.join(place, host["mark"])))
tried("a file anyone may write", lambda: write(host["precious"]))
""",
    ),
    attempt(
        "replacing Python",
        "overwrite the interpreter and the library code that the next kernel runs",
        "mount: read-only",
        "EROFS EACCES",
        """
import sys, json as library
paths = ("/proc/self/exe", "/proc/1/exe", os.path.realpath(sys.executable), library.__file__, os.__file__)
for path in paths:
    tried(path, lambda: os.close(os.open(path, os.O_RDWR)))
""",
    ),
    attempt(
        "the system's knobs",
        "set the core dump handler and other switches under /proc/sys and /sys",
        "mount: read-only",
        "EROFS EACCES ENOENT EPERM",
        """
knobs = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger",
         "/proc/sys/vm/drop_caches", "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled",
         "/proc/1/oom_score_adj")
for knob in knobs:
    tried(knob, lambda: os.close(os.open(knob, os.O_WRONLY)))
tried("immunity to out of memory", lambda: write("/proc/self/oom_score_adj", b"-1000"))
""",
    ),
    attempt(
        "inherited descriptors",
        "find an open descriptor of a file, folder or socket that belongs to the host, or to another kernel",
        "nothing is inherited",
        "NothingThereError",
        """
import socket, stat
def strangers():
    for descriptor in range(4096):
        try: status = os.fstat(descriptor)
        except OSError: continue
        if stat.S_ISDIR(status.st_mode): yield descriptor, "folder"
        if stat.S_ISREG(status.st_mode): yield descriptor, "file", status.st_size
        if stat.S_ISBLK(status.st_mode): yield descriptor, "disk"
        if stat.S_ISCHR(status.st_mode) and status.st_rdev != os.stat("/dev/null").st_rdev:
            yield descriptor, "device", status.st_rdev
        if stat.S_ISSOCK(status.st_mode):
            with socket.socket(fileno=os.dup(descriptor)) as sock:
                own = sock.getsockname()
                peer = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")
                if not own and peer != os.getpid(): yield descriptor, "a line of the host", peer
                if own and not own.startswith(host["own_folder"]): yield descriptor, "a socket of another", own
tried("look at each", lambda: found(list(strangers())))
""",
    ),
    attempt(
        "devices",
        "find and open disks, memory and consoles in /dev, and make nodes for them",
        "devices of its own, no capabilities",
        "NothingThereError ENOENT ENXIO EPERM EACCES",
        """
import stat
harmless = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "fd", "core",
            "stdin", "stdout", "stderr"}
tried("strange devices", lambda: found(sorted(set(os.listdir("/dev")) - harmless)))
for name in ("mem", "kmsg", "sda", "vda", "nvme0n1", "kvm", "fuse", "net/tun", "tty", "console", "snd"):
    tried(name, lambda: os.close(os.open(f"/dev/{name}", os.O_RDWR)))
node = os.path.join(os.environ["HOME"], "node")
for kind, numbers in ((stat.S_IFBLK, (254, 0)), (stat.S_IFBLK, (8, 0)), (stat.S_IFCHR, (1, 1))):
    tried(f"make {numbers}", lambda: os.mknod(node, kind | 0o600, os.makedev(*numbers)))
""",
    ),
]


async def _leave_a_startup_file(scene: Scene) -> list[Try]:
    """Everything that a Python, IPython or Jupyter process may run at its start."""
    plant = """
import sys
home = os.environ["HOME"]
packages = f"{home}/.local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
line = b"import builtins; builtins.planted = True\\n"
for path in (f"{home}/.ipython/profile_default/startup/00.py", f"{home}/.ipython/profile_default/ipython_config.py",
             f"{packages}/usercustomize.py", f"{packages}/sitecustomize.py", f"{packages}/planted.pth",
             f"{home}/json.py", f"{home}/IPython.py", f"{home}/sitecustomize.py", f"{home}/.pythonrc.py",
             f"{home}/jupyter_config.py", f"{home}/ipython_config.py", "/dev/shm/sitecustomize.py"):
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, line)
    except OSError: pass
os.environ["PYTHONSTARTUP"] = f"{home}/json.py"
os._exit(0)
"""
    look = """
import builtins, sys
tried("its code ran", lambda: builtins.planted)
tried("its files are there", lambda: found([name for name in os.listdir(os.environ["HOME"]) if name.endswith(".py")]))
tried("its environment is there", lambda: os.environ["PYTHONSTARTUP"])
"""
    async with scene.kernel() as session:
        await scene.cell(session, plant)
        return await scene.attack(session, look)


LOCKED = """
os.makedirs("locked/inner")
write("locked/inner/file")
os.chmod("locked/inner", 0)
os.chmod("locked", 0)
os._exit(0)
"""
DEEP = """
for _ in range(3000):
    os.mkdir("deep")
    os.chdir("deep")
os._exit(0)
"""


def leaving(code: str) -> Drive:
    """Leave a folder behind for the next kernel; another kernel is in the box."""

    async def drive(scene: Scene) -> list[Try]:
        async with scene.siblings() as (sibling, attacker):
            await run(sibling, "kept = 1")
            try:
                await scene.cell(attacker, code)
                left = "[name for name in os.listdir() if name in ('locked', 'deep')]"
                again = (await run(attacker, f"import os\nprint(context, {left})", ok=False)).text
            except RLMError as error:
                again = str(error)
            kept = (await run(sibling, "kept", ok=False)).text
            return [
                judged("the next kernel", differs(again, "the input []\n")),
                judged("the sibling", differs(kept, "1")),
            ]

    return drive


async def _link_in_a_folder(scene: Scene) -> list[Try]:
    """A hostile repository, given as the context: the link in it is followed by the host, outside any box."""
    folder = scene.canaries.folder / "repository"
    folder.mkdir(exist_ok=True)
    (folder / "readme.txt").write_text("A harmless file.")
    for name, target in (("notes.txt", scene.canaries.secret_file), ("up", scene.canaries.folder)):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(target)
    async with scene.kernel() as session:
        await session.load(inputs.prepare(Path(folder), session.inputs, "context_1"))
        code = """
tried("other files than the folder's", lambda: found({k: v for k, v in context_1.items() if k != "readme.txt"}))
"""
        return await scene.attack(session, code)


ATTEMPTS += [
    attempt(
        "startup files",
        "leave start-up files, modules and variables that the next kernel would run",
        "a clean folder",
        "AttributeError NothingThereError KeyError",
        _leave_a_startup_file,
    ),
    attempt(
        "a folder that cannot be removed",
        "leave a locked folder behind, so that no other kernel can start",
        "a clean folder",
        UNHARMED,
        leaving(LOCKED),
    ),
    attempt(
        "a folder too deep to be removed",
        "leave 3,000 folders in each other, so that whoever removes them fails",
        "a clean folder",
        UNHARMED,
        leaving(DEEP),
    ),
    attempt(
        "a link in the input folder",
        "put a link to a secret into a folder that somebody gives as context",
        "links are not followed",
        "NothingThereError",
        _link_in_a_folder,
    ),
]
