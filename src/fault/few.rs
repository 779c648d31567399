//! [`few`]: names in a sentence for a person. A model has any number of them, and of any length.

/// How many are named.
const SHOWN: usize = 5;
/// Characters of a name.
const LONG: usize = 200;

/// The first names, and how many more there are.
pub fn few<N: AsRef<str>>(names: &[N]) -> String {
    let short = |name: &N| -> String {
        let name = name.as_ref();
        match name.char_indices().nth(LONG) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.to_owned(),
        }
    };
    let shown: Vec<String> = names.iter().take(SHOWN).map(short).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_and_long_ones_are_cut() {
        assert_eq!(few(&["a", "b"]), "a, b");
        assert_eq!(few(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
        assert_eq!(few(&["é".repeat(300)]), format!("{}…", "é".repeat(200)));
        assert_eq!(few::<&str>(&[]), "");
    }
}
