"""Carries out the Dockerfile without an engine of containers: chroot_build.py BASE TOOLCHAIN WORK. As root.

BASE is a tree of the distribution that the images are made of, by debootstrap (variant minbase), TOOLCHAIN a folder of rustc
and cargo that the build stage finds as the official image has them. Each stage becomes a tree below WORK, and every
instruction is done in it, in order; an instruction that is not known fails. In the end the program is run as the image's user
in the last tree, mounted read only.
"""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request

base, toolchain, work = map(pathlib.Path, sys.argv[1:])
root = pathlib.Path(__file__).resolve().parents[2]


def lines(text):
    """Instructions, their continuations joined, comments left out."""
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def context(into):
    """The files that .dockerignore lets through."""
    kept = [line[1:] for line in (root / ".dockerignore").read_text().split() if line.startswith("!")]
    into.mkdir(parents=True)
    for name in kept:
        source, target = root / name, into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)


def chroot(tree, command, env, user=None):
    """Runs a command in a tree."""
    as_user = ["--userspec", user] if user else []
    full = ["chroot", *as_user, str(tree), "/usr/bin/env", "-i", *[f"{k}={v}" for k, v in env.items()], *command]
    subprocess.run(full, check=True)


class Stage:
    def __init__(self, image, name):
        self.tree, self.env, self.folder, self.user = work / name, {}, "/", None
        subprocess.run(["cp", "-a", str(base), str(self.tree)], check=True)
        # The network as this machine has it, with the authorities that it trusts.
        for place in ["resolv.conf", "hosts", "ssl/certs/ca-certificates.crt"]:
            shutil.copy(f"/etc/{place}", self.tree / "etc" / place)
        self.env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        subprocess.run(["mount", "--bind", "/dev", str(self.tree / "dev")], check=True)
        subprocess.run(["mount", "-t", "proc", "proc", str(self.tree / "proc")], check=True)
        if image.startswith("rust:"):
            # What the official image has: the toolchain, and a C compiler.
            subprocess.run(["cp", "-a", str(toolchain), str(self.tree / "opt/rust")], check=True)
            self.env |= {"PATH": "/opt/rust/bin:" + self.env["PATH"], "CARGO_HOME": "/usr/local/cargo"}
            self.env |= dict.fromkeys(["PIP_CERT", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO"], "/etc/ssl/certs/ca-certificates.crt")
            setup = "apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null"
            chroot(self.tree, ["sh", "-c", setup], self.env)

    def place(self, path):
        full = os.path.join(self.folder, path)
        return self.tree / full.lstrip("/")


stages, files, args = {}, work / "context", {"PTQD_COMMIT": "chroot"}
context(files)
stage = None
for line in lines((root / "Dockerfile").read_text()):
    word, rest = line.split(maxsplit=1)
    print(f"+ {line[:150]}", flush=True)
    if word == "FROM":
        parts = rest.split()
        name = parts[2] if len(parts) == 3 else "last"
        stage = stages[name] = Stage(parts[0], name)
    elif word == "RUN":
        stage.place(".").mkdir(parents=True, exist_ok=True)
        chroot(stage.tree, ["sh", "-ec", f"cd {shlex.quote(stage.folder)}; {rest}"], stage.env)
    elif word == "WORKDIR":
        stage.folder = rest
        stage.place(".").mkdir(parents=True, exist_ok=True)
    elif word == "COPY":
        parts = rest.split()
        options = dict(part[2:].split("=", 1) for part in parts if part.startswith("--"))
        source, target = [part for part in parts if not part.startswith("--")]
        source = (stages[options["from"]].tree / source.lstrip("/")) if "from" in options else files / source
        to = stage.place(target)
        to.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, to)
        if "chown" in options:
            subprocess.run(["chown", "-R", options["chown"], str(to)], check=True)
    elif word == "ENV":
        stage.env |= dict(part.split("=", 1) for part in shlex.split(rest))
    elif word == "ARG":
        stage.env[rest] = args[rest]
    elif word == "USER":
        stage.user = rest
    elif word == "ENTRYPOINT":
        entry = json.loads(rest)
    elif word == "CMD":
        command = json.loads(rest)
    elif word == "HEALTHCHECK":
        health = json.loads(rest[rest.index("CMD") + 3 :])
    elif word in ("VOLUME", "EXPOSE", "STOPSIGNAL"):
        pass
    else:
        sys.exit(f"the instruction {word} is not known")

# As it would be run: read only but for the volume and /tmp, without privileges.
run = work / "run"
run.mkdir()
subprocess.run(["mount", "--rbind", str(stage.tree), str(run)], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", str(run)], check=True)
for name in ["data", "tmp"]:
    volume = work / f"volume-{name}"
    volume.mkdir()
    os.chown(volume, *map(int, stage.user.split(":")))
    subprocess.run(["mount", "--bind", str(volume), str(run / name)], check=True)
chroot(run, [*entry, "--version"], stage.env, stage.user)
env = stage.env | {"PTQD_LISTEN": "127.0.0.1:18080"}
full = ["chroot", "--userspec", stage.user, str(run), "/usr/bin/env", "-i", *[f"{k}={v}" for k, v in env.items()]]
server = subprocess.Popen([*full, *entry, *command])
try:
    for _ in range(100):
        if subprocess.run([*full, *health], stderr=subprocess.DEVNULL).returncode == 0:
            break
        time.sleep(0.1)
    else:
        sys.exit("the server is not healthy")
    fixtures = root / "tests/fixtures"
    for name in ["vit.onnx", "calibration.npz"]:
        shutil.copy(fixtures / name, work / "volume-data" / name)
    job = {
        "model": {"uri": "file:///data/vit.onnx"},
        "calibration": {"uri": "file:///data/calibration.npz"},
        "quantize": {"backend": "modelopt", "mode": "static_ptq", "layers": [
            {"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]},
    }
    request = urllib.request.Request(
        "http://127.0.0.1:18080/v1/jobs", json.dumps(job).encode(),
        {"content-type": "application/json", "prefer": "wait=30"},
    )
    answer = json.load(urllib.request.urlopen(request))
    if answer["status"] != "succeeded":
        sys.exit(f"the job did not succeed: {answer['error']}")
    print("a job of static PTQ succeeded; the root is read only, the user", stage.user)
    try:
        (run / "usr/x").write_text("x")
        sys.exit("the root can be written")
    except OSError:
        pass
finally:
    server.terminate()
    server.wait()
sizes = {name: subprocess.run(["du", "-sxm", str(s.tree)], capture_output=True, text=True).stdout.split()[0]
         for name, s in stages.items()}
print("MB of each tree:", sizes)
