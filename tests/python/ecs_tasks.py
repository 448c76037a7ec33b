"""Tasks as ECS would start them, from the task definitions that the templates have and the image that buildah built: its
root, read-only, a user without rights, the command, variables and secrets of the definition, empty volumes."""

import json
import os
import subprocess
import time
from pathlib import Path

# Runs in a mount namespace of its own, so that everything goes with the process.
MOUNTS = """set -e
mount --bind "$CS_IMAGE" "$CS_ROOT"
for volume in $CS_VOLUMES; do mount -t tmpfs -o "${volume#*:}" none "$CS_ROOT${volume%%:*}"; done
mount --bind "$CS_AUTHORITIES" "$CS_ROOT/etc/ssl/certs/ca-certificates.crt"
mount -o remount,bind,ro "$CS_ROOT"
root=$CS_ROOT
unset CS_IMAGE CS_ROOT CS_HOSTS CS_AUTHORITIES CS_VOLUMES
exec /usr/sbin/chroot --userspec=65532:65532 --groups= "$root" "$@"
"""


# For programs of this machine: its own files, but names and authorities of the network.
NAMES = """set -e
mount --bind "$CS_HOSTS" /etc/hosts
mount --bind "$CS_AUTHORITIES" /etc/ssl/certs/ca-certificates.crt
exec "$@"
"""


class Image:
    """The image, its files in a directory."""

    def __init__(self, version):
        self.environment = os.environ | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
        self.name = f"countersign-namespaces-{os.getpid()}"
        image = f"localhost/countersign:{version}"
        self._buildah("from", "--name", self.name, image)
        self.root = Path(self._buildah("mount", self.name).strip())
        # As whatever runs containers does.
        (self.root / "etc/resolv.conf").write_text("nameserver 169.254.169.253\noptions timeout:2\n")

        inspected = json.loads(self._buildah("inspect", "--type", "image", image))
        self.declared = set(inspected["Docker"]["config"].get("Volumes") or {})

    def volume(self, path):
        """How an empty volume begins: root's and 0755, unless the image has a volume at the same path, whose owner and mode
        it then has (Amazon ECS Developer Guide, "Use bind mounts")."""
        if path not in self.declared:
            return "mode=0755,uid=0,gid=0"
        status = (self.root / path.lstrip("/")).stat()
        return f"mode={status.st_mode & 0o7777:o},uid={status.st_uid},gid={status.st_gid}"

    def _buildah(self, *arguments):
        return subprocess.run(["buildah", *arguments], env=self.environment, check=True, capture_output=True, text=True).stdout

    def close(self):
        self._buildah("rm", self.name)


class Tasks:
    """The tasks that run."""

    def __init__(self, work, image, hosts, authorities):
        self.work, self.image, self.hosts, self.authorities = work, image, hosts, authorities
        self.root = work / "root"
        self.root.mkdir()
        self.running = {}

    def start(self, name, inside, definition, secrets, parameters, more=()):
        """Starts a task named `name` by its definition. `secrets`: values by the last part of their ARN; `parameters`: by
        name. What the definition asks for and nobody has is a defect of the templates."""
        [container] = definition["ContainerDefinitions"]
        volumes = " ".join(f"{m['ContainerPath']}:{self.image.volume(m['ContainerPath'])}" for m in container["MountPoints"])
        variables = {e["Name"]: e["Value"] for e in container["Environment"]}
        for secret in container["Secrets"]:
            service, identifier = secret["ValueFrom"].split(":")[2], secret["ValueFrom"].split(":", 5)[5]
            if service == "ssm":
                variables[secret["Name"]] = parameters[identifier.removeprefix("parameter")]
            else:
                variables[secret["Name"]] = secrets[identifier.removeprefix("secret:")]
        variables |= dict(more)
        self._spawn(name, inside, ["/usr/bin/countersign", *container["Command"]], variables | {"CS_VOLUMES": volumes})

    def _spawn(self, name, inside, command, variables):
        log = open(self.work / f"{name}.log", "a")
        self.running[name] = subprocess.Popen(
            [*inside, *self._command(), *command], env=self._environment() | variables, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL)

    def _command(self):
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS, "sh"]

    def _environment(self):
        """Nothing of this process but where programs are."""
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CS_IMAGE": str(self.image.root), "CS_ROOT": str(self.root),
                "CS_HOSTS": str(self.hosts), "CS_AUTHORITIES": str(self.authorities), "CS_VOLUMES": ""}

    def health(self, inside):
        """The health check of the definition, in the place of the task."""
        command = [*inside, *self._command(), "/usr/bin/countersign", "health"]
        return subprocess.run(command, env=self._environment(), capture_output=True).returncode == 0

    def outside(self, inside, *command, **more):
        """A program of this machine in a place of the network."""
        environment = os.environ | self._environment() | {"PATH": os.environ["PATH"]} | more.pop("env", {})
        return subprocess.run([*inside, "unshare", "--mount", "--propagation", "private", "sh", "-c", NAMES, "sh", *command],
                              env=environment, capture_output=True, text=True, timeout=180, **more)

    def wait_ready(self, name, inside, seconds=60):
        """Until its health check passes; a task that ended has said why in its log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.running[name].poll() is not None:
                raise AssertionError(f"{name} ended with {self.running[name].returncode}:\n{self.log(name)}")
            if self.health(inside):
                return
            time.sleep(0.2)
        raise AssertionError(f"{name} does not become ready:\n{self.log(name)}")

    def ended(self, name, seconds=60):
        """Its exit status, once it has one."""
        return self.running[name].wait(seconds)

    def log(self, name):
        return (self.work / f"{name}.log").read_text()

    def kill(self, name):
        """As when the machine below it dies."""
        self.running[name].kill()
        self.running[name].wait()

    def stop(self, name):
        """As ECS does: a signal, and time to drain. Answers the exit status."""
        self.running[name].terminate()
        return self.running[name].wait(40)

    def close(self):
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def errors(log):
    """What a task said that is wrong, as an operator reads it."""
    lines = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            lines.append(line)
            continue
        if entry.get("level") in ("ERROR", "WARN"):
            lines.append(line)
    return "\n".join(lines)
