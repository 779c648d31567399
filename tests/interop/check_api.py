"""The API by its document alone: examples against schemas, generated clients in Python and TypeScript that run a whole job,
and schemathesis with every check it has.

    check_api.py path/to/ptqd folder/with/node_modules
"""

import importlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

import jsonschema_rs

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FIXTURES = ROOT / "tests/fixtures"
LEAST_CASES = 500
ptqd, modules = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
tools = pathlib.Path(sys.executable).parent
work = pathlib.Path(tempfile.mkdtemp())
server = subprocess.Popen([ptqd, "serve", "--listen", "127.0.0.1:0", "--data-dir", work / "data"],
                          stderr=(work / "server.log").open("w+"))


def address():
    while True:
        found = re.search(r"listening on (\S+)", (work / "server.log").read_text())
        if found:
            return found[1]
        assert server.poll() is None, (work / "server.log").read_text()


url = address()
document = json.loads(urllib.request.urlopen(url + "/openapi.json").read())


def check_examples():
    """Every example is what its schema says; every operation has examples and says what it is refused with."""
    count = 0

    def check(content, place):
        nonlocal count
        for media_type, one in content.items():
            if "example" in one and "schema" in one:
                schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **one["schema"],
                          "components": document["components"]}
                validator = jsonschema_rs.validator_for(schema)
                errors = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(one["example"])]
                assert not errors, f"{place} {media_type}: {errors}"
                count += 1
            else:
                assert not media_type.endswith("json"), f"{place} {media_type} has no example"

    for path, item in document["paths"].items():
        for method, operation in item.items():
            place = f"{method} {path}"
            assert operation["summary"] and operation["operationId"], place
            check(operation.get("requestBody", {}).get("content", {}), place)
            for status, response in operation["responses"].items():
                check(response.get("content", {}), f"{place} {status}")
            if path.startswith("/v1/"):
                assert {"401", "403", "429", "503"} <= set(operation["responses"]), place
            if "{" in path and method != "put":
                assert "404" in operation["responses"], place
            if "requestBody" in operation:
                json_body = {"415"} if "application/json" in operation["requestBody"]["content"] else set()
                assert {"400", "413", "422"} | json_body <= set(operation["responses"]), place
    print(f"examples: {count} are what their schemas say")


def check_python():
    """openapi-python-client's client runs a job."""
    (work / "openapi.json").write_text(json.dumps(document))
    subprocess.run([tools / "openapi-python-client", "generate", "--path", work / "openapi.json", "--meta", "none",
                    "--output-path", work / "ptqd_client"], check=True, capture_output=True, text=True, cwd=work,
                   env={"PATH": f"{tools}:/usr/bin:/bin"})
    sys.path.insert(0, str(work))
    module = lambda name: importlib.import_module(f"ptqd_client.{name}")
    models = module("models")
    client = module("client").Client(base_url=url, raise_on_unexpected_status=True)
    body = models.JobRequest(
        model=models.ModelInput(uri=f"file://{FIXTURES}/convnet.onnx"),
        calibration=models.CalibrationInput(uri=f"file://{FIXTURES}/calibration.npz", max_samples=64),
        quantize=models.JobRequestQuantize.from_dict({
            "backend": "modelopt", "mode": "static_ptq",
            "layers": [{"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]}),
    )
    backends = module("api.catalogue.list_backends").sync(client=client)
    assert [backend.name for backend in backends.backends] == ["modelopt", "torchao"]
    presets = module("api.catalogue.list_presets").sync(client=client)
    assert "fp8_dynamic" in [preset.name for preset in presets.presets]
    job = module("api.jobs.create_job").sync(client=client, body=body, idempotency_key="py-1", prefer="wait=1")
    show = module("api.jobs.get_job")
    while job.status in ("queued", "running"):
        job = show.sync(job.id, client=client, prefer="wait=10")
    assert job.status == "succeeded", job.error
    events = module("api.jobs.list_events").sync(job.id, client=client, after=0)
    assert [event.seq for event in events.events] == list(range(1, len(events.events) + 1))
    report = module("api.results.get_report").sync(job.id, client=client)
    assert report["summary"]["layers_quantized"] == 8
    for artifact in job.result.artifacts:
        answer = module("api.results.download_artifact").sync_detailed(job.id, artifact.name, client=client)
        assert len(answer.content) == artifact.size, artifact
    body.model.uri = "ftp://x/y"
    problem = module("api.jobs.create_job").sync(client=client, body=body)
    assert isinstance(problem, models.Problem) and problem.errors[0].pointer == "/model/uri", problem
    print(f"python: {len(job.result.artifacts)} files of {job.id}")


def check_typescript():
    """openapi-typescript's types compile with a client that runs a job."""
    folder = work / "typescript"
    shutil.copytree(HERE / "typescript", folder)
    (folder / "node_modules").symlink_to(modules)
    (folder / "openapi.json").write_text(json.dumps(document))
    run = lambda *command: subprocess.run(command, check=True, cwd=folder, timeout=300)
    run("node_modules/.bin/openapi-typescript", "openapi.json", "-o", "schema.d.ts")
    run("node_modules/.bin/tsc")
    run("node", "out/run_job.js", url, str(FIXTURES))


def check_schemathesis():
    """Every check, with requests made from the document; a fixed seed, so that a failure comes again. But for one: that what a
    job has been linked to is there. One whose model could not be read has no plan, and says so with 404."""
    command = [tools / "schemathesis", "--config-file", HERE / "schemathesis.toml", "run", url + "/openapi.json",
               "--checks", "all", "--exclude-checks", "ensure_resource_availability", "--max-examples", "60", "--seed", "1", "--continue-on-failure"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=work, timeout=900)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    cases = int(re.search(r"(\d+) generated", result.stdout)[1])
    assert cases >= LEAST_CASES, cases
    print(f"schemathesis: {cases} cases, nothing found")


try:
    for check in (check_examples, check_python, check_typescript, check_schemathesis):
        check()
    assert server.poll() is None, "the server has ended"
finally:
    server.terminate()
    server.wait()
    shutil.rmtree(work, ignore_errors=True)
