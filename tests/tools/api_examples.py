"""Writes openapi/examples.json: what a server really answers, shortened. Run by hand when the API changes:

    api_examples.py path/to/ptqd
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures"
ptqd = pathlib.Path(sys.argv[1]).resolve()
folder = tempfile.mkdtemp()
# Few lines: nobody reads them.
server = subprocess.Popen([ptqd, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder, "--threads", "1"],
                          stderr=subprocess.PIPE, text=True, env={**os.environ, "PTQD_LOG": "warn"})
url = next(line for line in server.stderr if "listening on" in line).split("listening on ")[1].split()[0]


def call(method, path, body=None, headers=()):
    request = urllib.request.Request(url + path, method=method, headers=dict(headers))
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        text = error.read()
    return json.loads(text) if text else None


def wait(id):
    while (job := call("GET", f"/v1/jobs/{id}"))["status"] in ("queued", "running", "cancelling"):
        time.sleep(0.1)
    return job


def short(value, most=2):
    """Long lists are cut: an example shows the form."""
    if isinstance(value, list):
        return [short(one) for one in value[:most]]
    if isinstance(value, dict):
        return {key: short(one) for key, one in value.items()}
    if isinstance(value, str):
        return value.replace(str(FIXTURES), "/data").replace(folder, "/var/lib/ptqd")
    return value


int8 = {"dtype": "int8"}
body = {
    "name": "digits-convnet-int8",
    "model": {"uri": f"file://{FIXTURES}/convnet.onnx"},
    "calibration": {"uri": f"file://{FIXTURES}/calibration.npz", "max_samples": 256},
    "evaluation": {"uri": f"file://{FIXTURES}/evaluation.npz", "labels": "y"},
    "quantize": {"backend": "modelopt", "mode": "static_ptq", "algorithm": "entropy",
                 "layers": [{"module_name": "*", "weights": int8, "activations": int8}], "skip_names": ["*linear*"]},
    "quality_gate": {"max_accuracy_drop": 0.01}, "labels": {"team": "vision"}, "timeout_seconds": 7200,
}
hook = call("POST", "/v1/webhooks", {"url": "https://hooks.example.com/ptqd"})
created = call("POST", "/v1/jobs", body)
job = wait(created["id"])
assert job["status"] == "succeeded", job["error"]
other = {**body, "name": "digits-convnet-fp8", "quantize": {**body["quantize"], "algorithm": "minmax", "layers": [
    {"module_name": "*", "weights": {"dtype": "fp8_e4m3fn"}, "activations": {"dtype": "fp8_e4m3fn"}}]}}
second = wait(call("POST", "/v1/jobs", other)["id"])
id = job["id"]
events = call("GET", f"/v1/jobs/{id}/events?after=0")
key = call("POST", "/v1/keys", {"name": "ci", "scopes": ["jobs:write"], "expires_in_days": 90})
key["key"] = f"ptqd_{key['id']}_" + "0" * 64
hook["secret"] = "whsec_" + "A" * 43 + "="
backend = call("GET", "/v1/backends/modelopt")
waiting = call("POST", "/v1/jobs", {**body, "name": None, "model": {"uri": "file:///missing.onnx"}})["id"]
wrong = {**body, "quantize": {**body["quantize"], "layers": [{"module_name": "*", "weights": {"dtype": "int9"}}]}}
problems = {
    "400": call("POST", "/v1/jobs", b"{"),
    "404": call("GET", "/v1/jobs/qj_01935e2a9b0070008000000000000001"),
    "409": call("DELETE", f"/v1/jobs/{waiting}") or call("GET", f"/v1/jobs/{waiting}/report"),
    "412": call("DELETE", f"/v1/jobs/{id}", headers=[("if-match", '"1"')]),
    "413": None, "415": None,
    "416": call("GET", f"/v1/jobs/{id}/artifacts/model.onnx", headers=[("range", "bytes=99999999-")]),
    "422": call("POST", "/v1/jobs", wrong),
}
request = urllib.request.Request(url + "/v1/jobs", method="POST", data=b"x", headers={"content-type": "text/plain"})
try:
    urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    problems["415"] = json.loads(error.read())


def like(status, title, code, detail, retryable):
    return {**problems["404"], "type": f"urn:ptqd:problem:{code}", "title": title, "status": status, "code": code,
            "detail": detail, "retryable": retryable, "instance": "/v1/jobs"}


# Those that this server, which is open and at rest, does not give: in its own words.
problems |= {
    "401": like(401, "Unauthorized", "unauthorized", "an API key is needed: `Authorization: Bearer ptqd_…`", False),
    "403": like(403, "Forbidden", "forbidden", "this needs the scope `jobs:write`", False),
    "413": like(413, "Body too large", "body_too_large", "the body is larger than a job may be", False),
    "429": like(429, "Too many requests", "rate_limited",
                "too many requests; more are welcome after the time in Retry-After", True),
    "503": like(503, "Draining", "draining",
                "this server is about to stop; another one, or it itself after a restart, takes requests", True),
}
examples = {
    "JobRequest": body,
    "JobView": job,
    "JobPage": call("GET", "/v1/jobs?limit=1"),
    "CreateAnswer": call("POST", "/v1/jobs?validate_only=true", {**body, "name": "new"}),
    "EventPage": {**events, "events": [events["events"][0], *events["events"][-2:]]},
    "EventLine": {"id": "4", "event": "job.progress", "retry": 2000, "data": json.dumps(
        next(event for event in events["events"] if event["type"] == "job.progress"))},
    "Plan": call("GET", f"/v1/jobs/{id}/plan"),
    "Report": call("GET", f"/v1/jobs/{id}/report"),
    "ArtifactList": call("GET", f"/v1/jobs/{id}/artifacts"),
    "Comparison": call("GET", f"/v1/reports/compare?a={id}&b={second['id']}"),
    "PlanView": call("POST", "/v1/plans", body),
    "BackendView": backend,
    "BackendList": {"backends": [backend]},
    "PresetList": call("GET", "/v1/presets"),
    "WebhookRequest": {"url": "https://hooks.example.com/ptqd", "events": ["job.status_changed"]},
    "WebhookView": hook,
    "WebhookList": call("GET", "/v1/webhooks"),
    "DeliveryList": call("GET", f"/v1/webhooks/{hook['id']}/deliveries"),
    "UploadView": call("PUT", "/v1/uploads/calibration.npz", (FIXTURES / "calibration.npz").read_bytes()),
    "UploadList": call("GET", "/v1/uploads"),
    "KeyRequest": {"name": "ci", "scopes": ["jobs:write"], "expires_in_days": 90},
    "KeyView": key,
    "KeyList": call("GET", "/v1/keys"),
    "Health": call("GET", "/healthz"),
    "Readiness": call("GET", "/readyz"),
}
examples = {name: short(value) for name, value in examples.items()}
# A list of three events, not two: the end belongs to it.
examples["EventPage"] = {**examples["EventPage"], "events": [short(event) for event in [events["events"][0], *events["events"][-2:]]]}
examples["Problems"] = {status: short(problem, 3) for status, problem in sorted(problems.items())}
server.terminate()
(ROOT / "openapi/examples.json").write_text(json.dumps(examples, indent=1, ensure_ascii=False) + "\n")
