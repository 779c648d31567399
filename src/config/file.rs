//! The configuration file: every flag by its long name, with underscores. A flag or a variable that is given goes before it.
//!
//! The file becomes arguments, so that one parser, with its checks and its messages, reads all three.

use std::{env, ffi::OsString, fs, path::PathBuf};

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("the configuration file {path} cannot be read", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("the configuration file {path} is not TOML: {reason}", path = path.display())]
    Syntax { path: PathBuf, reason: String },
    /// A key that no flag has.
    #[error("the configuration file has a key `{key}` that there is not{}", .nearest.as_ref().map(|name| format!("; is it `{name}`?")).unwrap_or_default())]
    Unknown {
        key: String,
        /// One that looks like it.
        nearest: Option<String>,
    },
    /// A value that no flag can have.
    #[error("`{key}` in the configuration file must be a text, a number, true or false, or a list of such")]
    Value { key: String },
}

/// The arguments of the process, with those of the configuration file that `--config` or `PTQD_CONFIG` names, if there is one.
pub fn arguments(program: &Command) -> Result<Vec<OsString>, ConfigFileError> {
    arguments_of(program, env::args_os().collect())
}

/// The same of other arguments.
pub fn arguments_of(program: &Command, given: Vec<OsString>) -> Result<Vec<OsString>, ConfigFileError> {
    let path = named(&given).or_else(|| env::var_os("PTQD_CONFIG"));
    let Some(path) = path.map(PathBuf::from) else { return Ok(given) };
    let text = fs::read_to_string(&path).map_err(|source| ConfigFileError::Read { path: path.clone(), source })?;
    let table: Table =
        text.parse().map_err(|e: toml::de::Error| ConfigFileError::Syntax { path, reason: e.to_string() })?;
    expand(program, given, &table, |variable| env::var_os(variable).is_some())
}

/// The file that `--config` names.
fn named(given: &[OsString]) -> Option<OsString> {
    let at = given.iter().position(|argument| argument == "--config");
    let next = at.and_then(|at| given.get(at + 1).cloned());
    let joined = || given.iter().find_map(|a| a.to_str()?.strip_prefix("--config=").map(OsString::from));
    next.or_else(joined)
}

/// The key of a flag.
pub fn key(argument: &Arg) -> Option<String> {
    argument.get_long().filter(|long| !["help", "version", "config"].contains(long)).map(|long| long.replace('-', "_"))
}

fn expand(
    program: &Command,
    given: Vec<OsString>,
    table: &Table,
    is_set: impl Fn(&str) -> bool,
) -> Result<Vec<OsString>, ConfigFileError> {
    let everywhere: Vec<&Arg> = program.get_arguments().collect();
    let commands = || program.get_subcommands();
    let all = || everywhere.iter().copied().chain(commands().flat_map(Command::get_arguments));
    for name in table.keys() {
        if !all().any(|argument| key(argument).as_ref() == Some(name)) {
            let known: Vec<String> = all().filter_map(key).collect();
            let near = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
            let nearest = near.filter(|(distance, _)| *distance <= 3).map(|(_, name)| name.clone());
            return Err(ConfigFileError::Unknown { key: name.clone(), nearest });
        }
    }
    let found = given.iter().enumerate().skip(1).find_map(|(at, argument)| {
        let name = argument.to_str()?;
        commands().find(|command| command.get_name() == name).map(|command| (at, command))
    });
    let Some((at, command)) = found else { return Ok(given) };
    let mut added = Vec::new();
    for argument in everywhere.into_iter().chain(command.get_arguments()) {
        let (Some(name), Some(long)) = (key(argument), argument.get_long()) else { continue };
        let Some(value) = table.get(&name) else { continue };
        let flag = format!("--{long}");
        let on_line = given.iter().filter_map(|a| a.to_str()).any(|a| a == flag || a.starts_with(&format!("{flag}=")));
        if on_line || argument.get_env().and_then(|variable| variable.to_str()).is_some_and(&is_set) {
            continue;
        }
        let switch = matches!(argument.get_action(), ArgAction::SetTrue);
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let text = text(value).ok_or_else(|| ConfigFileError::Value { key: name.clone() })?;
            match (switch, text.as_str()) {
                (true, "true") => added.push(OsString::from(&flag)),
                (true, "false") => {}
                (true, _) => return Err(ConfigFileError::Value { key: name }),
                (false, _) => added.push(OsString::from(format!("{flag}={text}"))),
            }
        }
    }
    let mut expanded = given;
    expanded.splice(at + 1..at + 1, added);
    Ok(expanded)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// A configuration file with every setting of a command, as it is without a file: all lines are comments.
pub fn example(program: &Command, command: &str) -> String {
    let mut text = String::from(
        "# Every setting of ptqd, as it is without this file or, where it says \"not set\", with an example of a value.\n\
         # `ptqd config example` writes it. Take the `#` away before a key to change one, and name the file with `--config` or\n\
         # PTQD_CONFIG. A flag or a PTQD_ variable goes before the file.\n",
    );
    let of_command = program.find_subcommand(command).into_iter().flat_map(Command::get_arguments);
    for argument in program.get_arguments().chain(of_command) {
        let Some(name) = key(argument) else { continue };
        let set = matches!(argument.get_action(), ArgAction::SetTrue) || !argument.get_default_values().is_empty();
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let help = if set { help } else { format!("{help} (not set)") };
        text.push('\n');
        for line in wrapped(&help) {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("# {name} = {}\n", sample(argument)));
    }
    text
}

/// The default of a setting, or else a kind of value that it takes.
fn sample(argument: &Arg) -> String {
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        return "false".to_owned();
    }
    let default = argument.get_default_values().first().and_then(|value| value.to_str()).map(str::to_owned);
    let name = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()).unwrap_or_default();
    let value = default.unwrap_or_else(|| {
        match name {
            "N" => "1",
            "URL" => "https://example.com",
            "ADDR" => "127.0.0.1:8080",
            "DIR" => "/srv/ptqd",
            "FILE" => "/usr/lib/libonnxruntime.so",
            "LIBRARY" => "/usr/lib/libopenvino_c.so",
            "NAME" => "ptqd",
            _ => "info",
        }
        .to_owned()
    });
    let number = name == "N";
    let one = if number { value } else { format!("{value:?}") };
    if matches!(argument.get_action(), ArgAction::Append) { format!("[{one}]") } else { one }
}

/// A text in lines of at most 118 characters.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| !line.is_empty() && line.len() + word.len() > 117) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let serve = Command::new("serve").args([
            Arg::new("listen").long("listen").env("PTQD_LISTEN").default_value("127.0.0.1:1"),
            Arg::new("root").long("file-root").action(ArgAction::Append),
            Arg::new("open").long("no-auth").action(ArgAction::SetTrue),
        ]);
        let log = Arg::new("log").long("log").global(true);
        Command::new("ptqd").arg(log).subcommand(serve).subcommand(Command::new("openapi"))
    }

    fn expanded(given: &str, file: &str, set: &[&str]) -> Result<String, String> {
        let given = given.split(' ').map(OsString::from).collect();
        let table = file.parse().unwrap();
        let expanded =
            expand(&program(), given, &table, |variable| set.contains(&variable)).map_err(|e| e.to_string())?;
        Ok(expanded.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn flags_and_variables_go_before_the_file() {
        let file = "listen = \"0.0.0.0:80\"\nfile_root = [\"/a\", \"/b\"]\nno_auth = true\nlog = \"debug\"";
        assert_eq!(
            expanded("ptqd serve --x", file, &[]).unwrap(),
            "ptqd serve --log=debug --listen=0.0.0.0:80 --file-root=/a --file-root=/b --no-auth --x"
        );
        assert_eq!(
            expanded(
                "ptqd serve --listen=x --file-root y --log z",
                "listen = \"a\"\nfile_root = \"b\"\nlog = \"c\"",
                &[]
            )
            .unwrap(),
            "ptqd serve --listen=x --file-root y --log z"
        );
        assert_eq!(expanded("ptqd serve", "listen = \"a\"\nno_auth = false", &["PTQD_LISTEN"]).unwrap(), "ptqd serve");
        assert_eq!(expanded("ptqd openapi", "listen = \"a\"", &[]).unwrap(), "ptqd openapi", "another command's");
        assert_eq!(expanded("ptqd", "listen = \"a\"", &[]).unwrap(), "ptqd");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let unknown = expanded("ptqd serve", "lissten = 1", &[]).unwrap_err();
        assert!(unknown.contains("`lissten`") && unknown.contains("`listen`"), "{unknown}");
        assert!(!expanded("ptqd serve", "something_else = 1", &[]).unwrap_err().contains("is it"));
        for odd in ["listen = {a = 1}", "no_auth = 7", "listen = [[1]]"] {
            assert!(expanded("ptqd serve", odd, &[]).is_err(), "{odd}");
        }
    }
}
