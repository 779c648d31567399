//! Names of files as places list them, and which of them may become files here.

use std::path::{Component, Path};

use url::Url;

/// Whether a name is that of a file below a folder, with nothing in it that would lead elsewhere or cannot be shown.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |part: Component<'_>| match part {
        Component::Normal(part) => part.len() <= 255,
        _ => false,
    };
    !name.is_empty()
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && Path::new(name).components().all(plain)
        && !name.contains(['\\', '\0'])
        && !name.chars().any(char::is_control)
}

/// The last name of a path; of a URL, without its query and with its escapes undone.
pub(super) fn last_name(path: &str) -> String {
    let Some(url) = path.contains("://").then(|| Url::parse(path).ok()).flatten() else {
        return path.rsplit('/').next().unwrap_or_default().to_owned();
    };
    let last = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    // What decodes forms decodes paths as well, but for their plus signs and what separates the parts of a form.
    let escaped = last.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let mut decoded = url::form_urlencoded::parse(escaped.as_bytes());
    decoded.next().map_or(String::new(), |(name, _)| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file() {
        for (path, name) in [
            ("a/b c.onnx", "b c.onnx"),
            ("m.onnx", "m.onnx"),
            ("https://h/a/b%20c.onnx?x=/y", "b c.onnx"),
            ("https://h/a+b.onnx", "a+b.onnx"),
            ("https://h/..%2f..%2fetc", "../../etc"),
        ] {
            assert_eq!(last_name(path), name);
        }
    }
}
