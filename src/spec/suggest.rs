//! "Did you mean": the names nearest to one that was not found.

/// Up to three of `names` that are near `wanted`, the nearest first; wildcards in `wanted` are not compared.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const CLOSE_ENOUGH: f64 = 0.45;
    let wanted: String = wanted.trim_start_matches("re:").trim_start_matches("type:").to_lowercase();
    let wanted = wanted.replace(['*', '?'], "");
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| {
            let lower = name.to_lowercase();
            let last = lower.rsplit(['.', '/']).next().unwrap_or(&lower);
            let score = strsim::normalized_damerau_levenshtein(&wanted, &lower)
                .max(0.95 * strsim::normalized_damerau_levenshtein(&wanted, last));
            (score, name)
        })
        .filter(|(score, _)| *score >= CLOSE_ENOUGH)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, name)| *name);
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_comes_first_and_strangers_do_not_come() {
        let names = ["model.head", "model.layer1.conv1", "model.layer1.conv2", "Linear"];
        assert_eq!(nearest("*haed*", names)[0], "model.head");
        assert_eq!(nearest("linaer", names), ["Linear"]);
        assert_eq!(nearest("zzzzzz", names), Vec::<String>::new());
    }
}
