//! Object stores on loopback, each a program or a library that nobody here wrote.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use axum::{Router, error_handling::HandleError, http::StatusCode};
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path as Key};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Client, needed, program, python};

/// The bucket that every server has.
pub const BUCKET: &str = "results";
/// The account of every Azurite, and its key.
const AZURITE: (&str, &str) =
    ("devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==");

/// An object store with one bucket; it ends with this.
pub struct Cloud {
    pub name: &'static str,
    pub scheme: &'static str,
    /// The URL that it listens on.
    pub url: String,
    /// The variables of its client: all but the endpoint.
    env: Vec<(&'static str, String)>,
    endpoint: &'static str,
    /// What follows the address in an endpoint.
    path: &'static str,
    /// The folder of one in this process.
    pub folder: Option<TempDir>,
    _server: Option<Program>,
}

/// A program that ends with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What serves in this process.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime"))
}

/// Serves a router on a free port. Its address.
pub fn serve_router(router: Router) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    runtime().spawn(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        sender.send(listener.local_addr().expect("an address")).expect("heard");
        axum::serve(listener, router).await.expect("served");
    });
    format!("http://{}", receiver.recv().expect("it listens"))
}

/// A program that says where it listens, after these words.
fn started(mut command: Command, words: &str) -> (Program, String) {
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server starts");
    let (sender, receiver) = std::sync::mpsc::channel();
    let streams: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(server.stdout.take().expect("stdout")), Box::new(server.stderr.take().expect("stderr"))];
    for stream in streams {
        let (sender, words) = (sender.clone(), words.to_owned());
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once(&words) {
                    let _ = sender.send(url.trim().to_owned());
                }
            }
        });
    }
    let url = receiver.recv_timeout(std::time::Duration::from_secs(60)).expect("the server's address");
    (Program(server), url)
}

impl Cloud {
    /// S3 by s3s-fs, in this process; it checks signatures.
    pub fn s3s() -> Self {
        let (folder, url) = s3s_server(Some(("testing", "testing")));
        Cloud { name: "s3s-fs", folder: Some(folder), ..Self::s3(url) }
    }

    /// S3 as moto, a server in Python, implements it.
    pub fn moto() -> Self {
        let mut moto = Command::new(needed("PTQD_TEST_PYTHON"));
        moto.args(["-u", "-m", "moto.server", "-p", "0"]);
        let (server, url) = started(moto, "Running on ");
        assert_eq!(Client::new(url.clone()).send("PUT", &format!("/{BUCKET}"), &[], None).status, 200);
        Cloud { name: "moto", _server: Some(server), ..Self::s3(url) }
    }

    fn s3(url: String) -> Self {
        let env = [
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
        ];
        let env = env.map(|(name, value)| (name, value.to_owned())).into();
        Cloud { name: "", scheme: "s3", url, env, endpoint: "AWS_ENDPOINT", path: "", folder: None, _server: None }
    }

    /// Azure Blob Storage by Azurite.
    pub fn azurite() -> Self {
        let mut azurite = Command::new("node");
        azurite.arg(needed("PTQD_AZURITE")).args(["--blobHost", "127.0.0.1", "--blobPort", "0"]);
        azurite.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]);
        let (server, url) = started(azurite, "Azurite Blob service successfully listens on ");
        let env = [
            ("AZURE_ALLOW_HTTP", "true"),
            ("AZURE_STORAGE_ACCOUNT_NAME", AZURITE.0),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE.1),
        ];
        let cloud = Cloud {
            name: "azurite",
            scheme: "az",
            url,
            env: env.map(|(name, value)| (name, value.to_owned())).into(),
            endpoint: "AZURE_STORAGE_ENDPOINT",
            path: "/devstoreaccount1",
            folder: None,
            _server: Some(server),
        };
        // The library has no way to make a container; this one does, with a signature of the library's.
        let container = format!("{}/{}/{BUCKET}?restype=container", cloud.url, AZURITE.0);
        let key = object_store::azure::AzureAccessKey::try_new(AZURITE.1).expect("a key");
        let credential = object_store::azure::AzureCredential::AccessKey(key);
        let mut request = ureq::http::Request::put(&container)
            .header("content-length", "0")
            .body(object_store::client::HttpRequestBody::empty())
            .expect("a request");
        object_store::azure::AzureAuthorizer::new(&credential, AZURITE.0).try_authorize(&mut request).expect("signed");
        let (parts, _) = request.into_parts();
        let answer = ureq::run(ureq::http::Request::from_parts(parts, ())).expect("a container");
        assert_eq!(answer.status(), 201);
        cloud
    }

    /// Google Cloud Storage's requests, answered by a server of S3's: the two APIs share what is used here. No server of
    /// Google's own API was found that takes multipart uploads.
    pub fn gcs() -> Self {
        let (folder, url) = s3s_server(None);
        let account = python("service_account.py", &[Path::new(&url)]);
        Cloud {
            name: "gcs",
            scheme: "gs",
            url,
            env: vec![("GOOGLE_SERVICE_ACCOUNT_KEY", account.to_string())],
            endpoint: "GOOGLE_BASE_URL",
            path: "",
            folder: Some(folder),
            _server: None,
        }
    }

    /// The URI of a key.
    pub fn uri(&self, key: &str) -> String {
        format!("{}://{BUCKET}/{key}", self.scheme)
    }

    /// The variables of a client, which talks to this address.
    pub fn env(&self, address: &str) -> Vec<(&'static str, String)> {
        let mut env = self.env.clone();
        env.push((self.endpoint, format!("{address}{}", self.path)));
        env
    }

    fn store(&self) -> Box<dyn ObjectStore> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = self.uri("").parse().expect("a URL");
        let options = self.env(&self.url).into_iter().map(|(name, value)| (name.to_lowercase(), value));
        let options = options.chain([("google_allow_http".to_owned(), "true".to_owned())]);
        object_store::parse_url_opts(&url, options).expect("a store").0
    }

    /// Stores a file under a key of the bucket.
    pub fn put(&self, key: &str, bytes: Vec<u8>) {
        let put = async { self.store().put(&Key::from(key), PutPayload::from(bytes)).await };
        runtime().block_on(put).expect("stored");
    }

    /// Stores the files of a folder below a prefix.
    pub fn put_folder(&self, prefix: &str, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            self.put(&format!("{prefix}/{name}"), std::fs::read(&path).expect("a file"));
        }
    }

    /// The keys below a prefix, sorted.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let store = self.store();
        let all = runtime().block_on(store.list(Some(&Key::from(prefix))).try_collect::<Vec<_>>()).expect("a list");
        let mut keys: Vec<String> = all.into_iter().map(|meta| meta.location.to_string()).collect();
        keys.sort();
        keys
    }

    /// Uploads that were begun and neither finished nor abandoned, as far as the server tells.
    pub fn uploads(&self) -> usize {
        match (self.name, &self.folder) {
            ("moto", _) => {
                let list = Client::new(self.url.clone()).get(&format!("/{BUCKET}?uploads")).2;
                String::from_utf8(list).expect("text").matches("<UploadId>").count()
            }
            (_, Some(folder)) => {
                let entries = std::fs::read_dir(folder.path()).expect("a folder");
                entries.filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().contains("upload"))).count()
            }
            // Azure shows no blocks that were not committed.
            _ => 0,
        }
    }

    /// The program with this as its artifact store, spoken to at its own address.
    pub fn program(&self, command: &str, data: &Path, database: Option<&str>) -> Command {
        self.program_at(&self.url, &self.uri("team/ptqd"), command, data, database)
    }

    /// The same through another address, and with another store.
    pub fn program_at(
        &self,
        address: &str,
        artifacts: &str,
        command: &str,
        data: &Path,
        database: Option<&str>,
    ) -> Command {
        let mut program = program(command, data, database);
        program.args(["--artifacts", artifacts]).envs(self.env(address));
        program
    }
}

fn s3s_server(keys: Option<(&str, &str)>) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).expect("a file system"));
    if let Some((id, secret)) = keys {
        builder.set_auth(SimpleAuth::from_single(id, secret));
    }
    let failed = |error: s3s::HttpError| async move { (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")) };
    let mut router = Router::new().fallback_service(HandleError::new(builder.build(), failed));
    if keys.is_none() {
        // What Google's clients send there is no signature of S3's.
        router = router.layer(axum::middleware::map_request(|mut request: axum::extract::Request| async {
            request.headers_mut().remove("authorization");
            request
        }));
    }
    let url = serve_router(router);
    (folder, url)
}
