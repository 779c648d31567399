//! Files of the machine, where strangers ask: the topology of docker-compose.yml, an API without workers, a worker of its own,
//! keys, and Postgres.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{Answer, Client, Process, fixture, key, program, schema, start_server, uri, work};

fn job(model: &str) -> Value {
    json!({"model": {"uri": model},
        "quantize": {"backend": "torchao", "layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

/// A process of the topology: everything shared but the data folder, and no folder open unless it is given.
fn process(command: &str, name: &str, folder: &Path, url: &str, root: Option<&str>) -> Command {
    let mut program = program(command, &folder.join(name), Some(url));
    program.env("PTQD_ARTIFACTS", folder.join("artifacts"));
    match root {
        Some(root) => program.env("PTQD_FILE_ROOTS", root),
        None => program.env_remove("PTQD_FILE_ROOTS"),
    };
    program
}

fn api(name: &str, folder: &Path, url: &str, root: Option<&str>) -> Process {
    let mut program = process("serve", name, folder, url, root);
    program.args(["--listen", "127.0.0.1:0", "--workers", "0"]);
    start_server(program)
}

/// The file that holds these bytes, anywhere below a folder.
fn holding(folder: &Path, bytes: &[u8]) -> Option<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| match path.is_dir() {
        true => holding(&path, bytes),
        false => (fs::read(&path).unwrap() == bytes).then_some(path),
    })
}

/// What is said of a URI, without the URI.
fn objection(answer: &Answer, uri: &str) -> String {
    let body = answer.json();
    assert_eq!(answer.status, 422, "{uri}: {body:#}");
    let error = &body["errors"][0];
    assert_eq!((&error["pointer"], &error["code"]), (&json!("/model/uri"), &json!("invalid_uri")), "{body:#}");
    error["message"].as_str().unwrap().replace(uri, "URI")
}

fn upload(client: &Client, name: &str, bytes: &[u8]) {
    let url = format!("{}/v1/uploads/{name}", client.url);
    let token = format!("Bearer {}", client.key.as_deref().unwrap());
    assert_eq!(ureq::put(url).header("authorization", token).send(bytes).unwrap().status(), 201);
}

#[test]
fn a_tenant_reads_no_file_of_api_or_worker() {
    let (folder, url) = (tempfile::tempdir().unwrap(), schema("files"));
    let folder = folder.path();
    let closed = api("api", folder, &url, None);
    let client =
        |tenant: &str, api: &Process| api.client.with_key(&key(&url, &folder.join("api"), tenant, "jobs:write"));
    let (victim, thief) = (client("victim", &closed), client("thief", &closed));

    let secret = fs::read(fixture("vit.safetensors")).unwrap();
    upload(&victim, "secret.safetensors", &secret);
    let stolen = uri(&holding(&folder.join("artifacts"), &secret).expect("the upload"));
    let missing = format!("{stolen}.no");
    let said = objection(&thief.send("POST", "/v1/jobs", &[], Some(&job(&stolen))), &stolen);
    assert!(said.contains("uri_not_allowed"), "{said}");
    for path in ["/v1/jobs", "/v1/jobs?validate_only=true", "/v1/plans"] {
        for uri in [&*stolen, &*missing, "file:///etc/passwd", "file:///etc/no-such-file", "file:///"] {
            assert_eq!(objection(&thief.send("POST", path, &[], Some(&job(uri))), uri), said, "{path} {uri}");
        }
    }

    // A job that another API let in, one with a root, is refused by the worker, which has none.
    let open = api("open", folder, &url, Some("/"));
    let (thief_there, outside) = (client("thief", &open), uri(&fixture("vit.safetensors")));
    let waiting = thief_there.submit(&job(&outside));
    // Its root holds what the service keeps for others, and does not open it.
    let said = objection(&thief_there.send("POST", "/v1/jobs", &[], Some(&job(&stolen))), &stolen);
    assert!(said.contains("uri_not_allowed"), "{said}");
    let _worker = work(process("worker", "worker", folder, &url, None));
    let failed = thief.wait(&waiting);
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("uri_not_allowed")),
        "{failed:#}"
    );

    let own = victim.wait(&victim.submit(&job("upload://secret.safetensors")));
    assert_eq!(own["status"], "succeeded", "{:#}", own["error"]);
    // Trying again is a request like the first.
    objection(&thief.send("POST", &format!("/v1/jobs/{waiting}/retry"), &[], None), &outside);
}

#[test]
fn keys_close_the_files_of_a_server_with_workers_and_a_root_opens_them() {
    let (folder, url) = (tempfile::tempdir().unwrap(), schema("roots"));
    let folder = folder.path();
    let model = uri(&fixture("vit.safetensors"));
    let start = |name: &str, root: Option<&str>, open: &[&str]| {
        let mut program = process("serve", name, folder, &url, root);
        program.args(["--listen", "127.0.0.1:0"]).args(open);
        start_server(program)
    };
    let keyed = start("keyed", None, &[]);
    let client = keyed.client.with_key(&key(&url, &folder.join("keyed"), "a", "jobs:write"));
    objection(&client.send("POST", "/v1/jobs", &[], Some(&job(&model))), &model);
    drop(keyed);
    // A database that others can use closes them just as well.
    let shared = start("shared", None, &["--no-auth"]);
    objection(&shared.client.send("POST", "/v1/jobs", &[], Some(&job(&model))), &model);
    drop(shared);
    let rooted = start("rooted", Some(env!("CARGO_MANIFEST_DIR")), &["--no-auth"]);
    let done = rooted.client.wait(&rooted.client.submit(&job(&model)));
    assert_eq!(done["status"], "succeeded", "{:#}", done["error"]);
    objection(&rooted.client.send("POST", "/v1/jobs", &[], Some(&job("file:///etc/passwd"))), "file:///etc/passwd");
}
