"""Network namespaces in the place of a VPC: each task, load balancer, endpoint and outsider has an address of its own, a
router between them, and nftables as security groups, made from the rules that the templates have. Needs root."""

import ipaddress
import subprocess

VPC = "10.20.0.0/16"
# Where ECS hands a task its credentials (Amazon ECS Developer Guide, "Task IAM role").
CREDENTIALS = "169.254.170.2"
# Where a VPC's resolver answers (Amazon VPC User Guide, "DNS attributes").
RESOLVER = "169.254.169.253"
GATEWAY = "169.254.1.1"


def run(*command, **more):
    """A command that must not fail."""
    ran = subprocess.run(command, capture_output=True, text=True, **more)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ran.stderr or ran.stdout}")
    return ran.stdout


class Network:
    """The router, and a namespace for each address. `prefix` tells this test's namespaces from others'."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.router = f"{prefix}-vpc"
        self.places = {}
        run("ip", "netns", "add", self.router)
        self.inside(self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.default.rp_filter=0")
        self.inside(self.router, "ip", "link", "set", "lo", "up")
        for address in [CREDENTIALS, RESOLVER]:
            self.inside(self.router, "ip", "addr", "add", f"{address}/32", "dev", "lo")

    def inside(self, namespace, *command, **more):
        return run("ip", "netns", "exec", namespace, *command, **more)

    def place(self, name, *addresses):
        """A namespace with these addresses, whose only way is the router. Answers how a process is started in it."""
        namespace = f"{self.prefix}-{name}"
        link = f"{self.prefix[-4:]}{len(self.places)}"
        run("ip", "netns", "add", namespace)
        self.places[name] = (namespace, addresses)
        run("ip", "link", "add", f"r{link}", "netns", self.router, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self.inside(self.router, "ip", "addr", "add", f"{GATEWAY}/32", "dev", f"r{link}")
        self.inside(self.router, "ip", "link", "set", f"r{link}", "up")
        self.inside(namespace, "ip", "link", "set", "lo", "up")
        self.inside(namespace, "ip", "link", "set", "eth0", "up")
        for address in addresses:
            self.inside(namespace, "ip", "addr", "add", f"{address}/32", "dev", "eth0")
            self.inside(self.router, "ip", "route", "add", f"{address}/32", "dev", f"r{link}")
        self.inside(namespace, "ip", "route", "add", GATEWAY, "dev", "eth0")
        self.inside(namespace, "ip", "route", "add", "default", "via", GATEWAY, "src", addresses[0])
        return ["ip", "netns", "exec", namespace]

    def enter(self, name):
        """How a process is started there."""
        return ["ip", "netns", "exec", self.places[name][0]]

    def security_groups(self, members, ingress, egress):
        """`members`: addresses by group. `ingress` and `egress`: (from, to, port), each a group or a network. What belongs
        to no group is outside and limits nothing; what belongs to one is reached, and reaches, by a rule alone."""
        lines = ["table ip groups {"]
        for number, (group, addresses) in enumerate(members.items()):
            lines.append(f"  set g{number} {{ type ipv4_addr; elements = {{ {', '.join(addresses)} }} }} # {group}")
        number = {group: f"@g{index}" for index, group in enumerate(members)}

        def side(value):
            if value in number:
                return number[value]
            try:
                return str(ipaddress.ip_network(value))
            except ValueError:
                return None

        def rules(kind):
            for source, target, port in sorted(kind):
                source, target = side(source), side(target)
                if source and target:
                    yield f"    ip saddr {source} ip daddr {target} tcp dport {port} accept"

        everyone = ", ".join(address for addresses in members.values() for address in addresses)
        lines += [f"  set members {{ type ipv4_addr; elements = {{ {everyone} }} }}",
                  "  chain into {", *rules(ingress), "    ip daddr @members drop", "    accept", "  }",
                  "  chain out {", *(r.replace(" accept", " goto into") for r in rules(egress)),
                  "    ip saddr @members drop", "    goto into", "  }",
                  "  chain forward { type filter hook forward priority 0; policy drop;",
                  "    ct state established,related accept", "    goto out", "  }", "}"]
        self.inside(self.router, "nft", "-f", "-", input="\n".join(lines))

    def refuse(self, source, target, port):
        """An egress rule that somebody forgot: until `allow_again`."""
        self.inside(self.router, "nft", "insert", "rule", "ip", "groups", "forward", "ip", "saddr", f"{{ {', '.join(source)} }}",
                    "ip", "daddr", target, "tcp", "dport", str(port), "drop", "comment", '"forgotten"')

    def allow_again(self):
        listed = self.inside(self.router, "nft", "-a", "list", "chain", "ip", "groups", "forward")
        for line in listed.splitlines():
            if "forgotten" in line:
                self.inside(self.router, "nft", "delete", "rule", "ip", "groups", "forward", "handle", line.split()[-1])

    def close(self):
        for namespace in [n for n, _ in self.places.values()] + [self.router]:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


def possible():
    """Why there can be no such network here, or None."""
    probe = f"csprobe{subprocess.os.getpid()}"
    try:
        run("ip", "netns", "add", probe)
    except (OSError, RuntimeError) as error:
        return f"no network namespaces: {error}"
    try:
        run("ip", "link", "add", "veth0", "netns", probe, "type", "veth", "peer", "name", "veth1", "netns", probe)
        run("ip", "netns", "exec", probe, "nft", "-f", "-", input="table ip t {\n chain c {\n"
            "  type filter hook forward priority 0;\n  ct state established accept\n }\n}\n")
        run("ip", "netns", "exec", probe, "unshare", "--mount", "true")
    except (OSError, RuntimeError) as error:
        return f"no veth, nftables or mount namespaces: {error}"
    finally:
        subprocess.run(["ip", "netns", "del", probe], capture_output=True)
    return None
