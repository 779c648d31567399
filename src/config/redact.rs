//! [`redacted`]: values as they may be shown.

use std::borrow::Cow;

/// A setting's value without the password of a URL: neither the one before the `@` nor those among its parameters.
pub fn redacted(value: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = value.split_once("://") else { return Cow::Borrowed(value) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:…@{host}"),
            None => format!("{user}@{host}"),
        },
        None => authority.to_owned(),
    };
    let (path, query) = tail.split_once('?').map_or((tail, None), |(path, query)| (path, Some(query)));
    let query = query.map(|query| {
        let shown = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if ["password", "sslpassword", "sig", "token", "key"].contains(&name) => {
                format!("{name}=…")
            }
            _ => pair.to_owned(),
        });
        format!("?{}", shown.collect::<Vec<_>>().join("&"))
    });
    Cow::Owned(format!("{scheme}://{authority}{path}{}", query.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out() {
        for (value, shown) in [
            ("postgres://me:secret@host/db", "postgres://me:…@host/db"),
            ("postgres://me:se@cret@host:5/db?x=1&password=p", "postgres://me:…@host:5/db?x=1&password=…"),
            ("postgres://me@host", "postgres://me@host"),
            ("sqlite:///x/y", "sqlite:///x/y"),
            ("plain", "plain"),
        ] {
            assert_eq!(redacted(value), shown);
        }
    }
}
