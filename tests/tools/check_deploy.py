"""What can be told of the packaging without an engine of containers or a cluster: check_deploy.py ROOT SETTINGS.

The schemas of Compose and Kubernetes, a linter for the Dockerfile, and whether the files agree with each other and with the
program: SETTINGS is what `ptqd config example` prints.
"""

import pathlib
import re
import subprocess
import sys

import yaml

root, settings = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text()
scripts = pathlib.Path(sys.executable).parent
wrong = []


def say(condition, message):
    if not condition:
        wrong.append(message)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    say(done.returncode == 0, f"{pathlib.Path(command[0]).name}: {done.stdout}{done.stderr}")


manifests = sorted((root / "deploy/kubernetes").glob("*.yaml"))
run(scripts / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", root / "docker-compose.yml")
run(scripts / "hadolint", root / "Dockerfile")
run(scripts / "kubernetes-validate", "--strict", "--no-warn", *[m for m in manifests if m.name != "kustomization.yaml"])

# Every variable is a setting; the names are those of the flags, but for a few that are said otherwise.
keys = set(re.findall(r"^# (\w+) = ", settings, re.M))
OTHER = {"PTQD_FILE_ROOTS": "file_root", "PTQD_ALLOW_SOURCES": "allow_source", "PTQD_COMMIT": None}
FOREIGN = ("AWS_", "POSTGRES_", "MINIO_", "ORT_")


def variable(name, where):
    if name in OTHER:
        return say(OTHER[name] is None or OTHER[name] in keys, f"{where}: {name} is no setting")
    if name.startswith("PTQD_"):
        return say(name[5:].lower() in keys, f"{where}: {name} is no setting")
    say(name.startswith(FOREIGN), f"{where}: {name} is nobody's variable")


compose = yaml.safe_load((root / "docker-compose.yml").read_text())
services = compose["services"]
for name, service in services.items():
    for key in service.get("environment", {}):
        variable(key, f"compose: {name}")
    for other in service.get("depends_on", {}):
        say(other in services, f"compose: {name} waits for {other}, which there is not")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        say(source.startswith("/") or source in compose["volumes"], f"compose: {name} has a volume {source} of nobody")
for name in ["api", "worker", "migrate"]:
    service = services[name]
    say(service["read_only"] and service["cap_drop"] == ["ALL"], f"compose: {name} may do too much")
say(services["worker"]["deploy"]["replicas"] == 2, "compose: not two workers")

dockerfile = (root / "Dockerfile").read_text()
for name in re.findall(r"\b(PTQD_\w+)=", dockerfile):
    variable(name, "Dockerfile")
# Nothing that the build needs is kept from it.
ignored = (root / ".dockerignore").read_text().split()
for needed in ["Cargo.toml", "Cargo.lock", "build.rs", "src", "migrations", "openapi", "tests/tools/setup"]:
    say(f"!{needed}" in ignored, f".dockerignore: {needed} does not reach the build")
for path in [line[1:] for line in ignored if line.startswith("!")]:
    say((root / path).exists(), f".dockerignore: there is no {path}")

cargo = (root / "Cargo.toml").read_text()
version = re.search(r'^version = "(.*)"', cargo, re.M)[1]
say(f"ptqd:{version}" in (root / "docker-compose.yml").read_text(), "compose: the image is of another version")
kustomization = yaml.safe_load((root / "deploy/kubernetes/kustomization.yaml").read_text())
say(kustomization["images"][0]["newTag"] == version, "kustomization: the image is of another version")
present = {m.name for m in manifests} - {"kustomization.yaml"}
say(set(kustomization["resources"]) == present, "kustomization: its resources are not the files that there are")

documents = [d for m in manifests for d in yaml.safe_load_all(m.read_text()) if d["kind"] != "Kustomization"]
named = {(d["kind"], d["metadata"]["name"]) for d in documents}
for document in documents:
    where = f"{document['kind']} {document['metadata']['name']}"
    if document["kind"] == "ConfigMap":
        for key in document["data"]:
            variable(key, where)
    if document["kind"] == "HorizontalPodAutoscaler":
        target = document["spec"]["scaleTargetRef"]
        say((target["kind"], target["name"]) in named, f"{where} scales nobody")
        metric = document["spec"]["metrics"][0]["external"]["metric"]["name"]
        telemetry = (root / "src/telemetry.rs").read_text()
        say(f'"{metric.removeprefix("ptqd_")}"' in telemetry, f"{where}: there is no figure {metric}")
    if document["kind"] == "Service":
        selector = document["spec"]["selector"].items()
        pods = [d["spec"]["template"]["metadata"]["labels"].items() for d in documents if d["kind"] == "Deployment"]
        say(any(selector <= pod for pod in pods), f"{where} leads to nobody")
    if document["kind"] not in ("Deployment", "Job"):
        continue
    pod = document["spec"]["template"]["spec"]
    say(pod["securityContext"]["runAsNonRoot"], f"{where} may be root")
    say(("ServiceAccount", pod["serviceAccountName"]) in named, f"{where} has an account of nobody")
    user = re.search(r"^USER (\d+):", dockerfile, re.M)[1]
    say(str(pod["securityContext"]["runAsUser"]) == user, f"{where} is another user than the image's")
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        context = container["securityContext"]
        say(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], f"{where} may do too much")
        say({"requests", "limits"} <= container["resources"].keys(), f"{where} has no limits")
        for mount in container.get("volumeMounts", []):
            say(mount["name"] in volumes, f"{where} mounts {mount['name']}, which there is not")
        for env in container.get("env", []):
            variable(env["name"], where)
        for source in container["envFrom"]:
            if "configMapRef" in source:
                say(("ConfigMap", source["configMapRef"]["name"]) in named, f"{where} has settings of nobody")
        if document["kind"] == "Deployment" and container.get("ports"):
            say({"livenessProbe", "readinessProbe"} <= container.keys(), f"{where} is not looked after")

if wrong:
    sys.exit("\n".join(wrong))
print("{}")
