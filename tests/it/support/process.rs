//! The program as processes, and a Postgres of one's own to pull from under them.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{Client, needed};

/// A running program, killed when dropped.
pub struct Process {
    pub child: Child,
    pub client: Client,
    /// What it has logged so far.
    pub log: Arc<Mutex<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that was paused would not die of anything else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with its data folder and, where there is one, a database that others share.
pub fn program(command: &str, data: &Path, database: Option<&str>) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ptqd"));
    program.args([command, "--threads", "1", "--data-dir"]).arg(data);
    // Fixtures and temporary folders lie anywhere; without this, only a server that is alone reads files.
    program.env("PTQD_FILE_ROOTS", "/");
    program.env("ORT_DYLIB_PATH", needed("ORT_DYLIB_PATH")).env("PTQD_LOG", "warn").stderr(Stdio::piped());
    match database {
        Some(url) => program.env("PTQD_DATABASE_URL", url),
        None => program.env_remove("PTQD_DATABASE_URL"),
    };
    program
}

/// Starts a server and waits until it says where it listens. On a database that others could use as well, keys are needed
/// otherwise; tests/it/access.rs has those.
pub fn serve(mut program: Command) -> Process {
    program.args(["--listen", "127.0.0.1:0", "--no-auth"]);
    start_server(program)
}

/// The same, with whatever authentication the arguments ask for.
pub fn start_server(mut program: Command) -> Process {
    let mut child = program.spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let url = lines
        .by_ref()
        .map_while(Result::ok)
        .inspect(|line| eprintln!("server: {line}"))
        .find_map(|line| Some(line.split_once("listening on ")?.1.split(' ').next()?.to_owned()))
        .expect("the address");
    let log = listen("server", lines);
    Process { child, client: Client::new(url), log }
}

/// A key made by the command.
pub fn key(url: &str, data: &Path, tenant: &str, scopes: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ptqd"))
        .args(["keys", "--data-dir"])
        .arg(data)
        .args(["create", "--name", "test", "--tenant", tenant, "--scopes", scopes])
        .env("PTQD_DATABASE_URL", url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Starts workers without an API.
pub fn work(mut program: Command) -> Process {
    let mut child = program.spawn().expect("the program starts");
    let (lines, id) = (BufReader::new(child.stderr.take().expect("stderr")).lines(), child.id());
    let log = listen(&format!("worker {id}"), lines);
    Process { child, client: Client::new(String::new()), log }
}

/// Reads on, so that the program never waits for us.
fn listen(name: &str, lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let (heard, name) = (Arc::clone(&log), name.to_owned());
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            eprintln!("{name}: {line}");
            let mut heard = heard.lock().expect("the log");
            heard.push_str(&line);
            heard.push('\n');
        }
    });
    log
}

impl Process {
    /// Sends a signal by name. The shell's own `kill`: the program of that name is not on every machine.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh runs").success());
    }
}

/// A schema of its own in the shared Postgres.
pub fn schema(name: &str) -> String {
    in_schema(&needed("DATABASE_URL"), &format!("{name}{}", std::process::id()))
}

fn in_schema(url: &str, schema: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.expect("Postgres answers");
        let create = sqlx::AssertSqlSafe(format!("create schema {schema}"));
        sqlx::query(create).execute(&mut connection).await.expect("a schema");
    });
    format!("{url}{separator}options=-csearch_path%3D{schema}")
}

/// A Postgres of one's own, to restart.
pub struct Postgres {
    programs: String,
    folder: PathBuf,
}

impl Postgres {
    /// Starts one in a temporary folder, with everything synced as in earnest.
    pub fn start() -> Self {
        let folder = PathBuf::from(format!("/tmp/ptqd-chaos-{}", std::process::id()));
        let postgres = Postgres { programs: needed("PG_PROGRAMS"), folder };
        std::fs::create_dir_all(&postgres.folder).expect("a folder");
        // initdb refuses to run as root; the server needs no rights at all.
        postgres.run("chown 65534:65534 \"$FOLDER\"", true);
        postgres.run(
            "\"$PROGRAMS/initdb\" -D \"$FOLDER/data\" -U ptqd -A trust -E UTF8 --locale=C >\"$FOLDER/log\" 2>&1",
            false,
        );
        postgres.control("start");
        postgres
    }

    /// `start`, `stop -m immediate`, …
    pub fn control(&self, what: &str) {
        let options = "-c listen_addresses='' -c unix_socket_directories='$FOLDER' -c max_connections=200";
        self.run(
            &format!(
                "\"$PROGRAMS/pg_ctl\" -D \"$FOLDER/data\" -w -l \"$FOLDER/log\" -o \"{options}\" {what} >/dev/null"
            ),
            false,
        );
    }

    pub fn url(&self) -> String {
        format!("postgres://ptqd@localhost/postgres?host={}", self.folder.display())
    }

    fn run(&self, script: &str, as_root: bool) {
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n"));
        if as_root && !root {
            return;
        }
        let mut command = if root && !as_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "sh", "-c"]);
            command
        } else {
            let mut command = Command::new("sh");
            command.arg("-c");
            command
        };
        command.arg(script).env("PROGRAMS", &self.programs).env("FOLDER", &self.folder).current_dir("/tmp");
        assert!(command.status().expect("sh runs").success(), "{script}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stop = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.control("stop -m immediate")));
        if stop.is_ok() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Waits until something is so.
pub fn eventually(what: &str, limit: Duration, mut so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}
