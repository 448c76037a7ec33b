//! Variables that overlay the configuration file: `COUNTERSIGN__GATEWAY__DATABASE__URL` is `[gateway.database] url`.

use anyhow::{Context as _, bail};
use toml::{Table, Value};

/// What every overlay variable begins with.
const PREFIX: &str = "COUNTERSIGN__";

/// Overlays `table` with the variables of this process.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads configuration from the environment"
)]
pub(super) fn from_environment(table: &mut Table) -> anyhow::Result<()> {
    let mut variables: Vec<(String, String)> = std::env::vars()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    apply(table, variables)
}

/// Overlays `table` with these variables. A value that reads as a TOML boolean, number or array is one; any other is
/// a string.
fn apply(table: &mut Table, variables: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<()> {
    for (name, text) in variables {
        let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        if path.iter().any(String::is_empty) {
            bail!("{name}: write {PREFIX}SECTION__KEY");
        }
        set(table, &path, scalar(&text)).with_context(|| name.clone())?;
    }
    Ok(())
}

/// The TOML value that a variable's text stands for.
fn scalar(text: &str) -> Value {
    match toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
    {
        Some(value @ (Value::Boolean(_) | Value::Integer(_) | Value::Float(_) | Value::Array(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// Sets one value, making the tables on the way.
fn set(table: &mut Table, path: &[String], value: Value) -> anyhow::Result<()> {
    match path {
        [] => bail!("no key"),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [key, rest @ ..] => match table
            .entry(key.clone())
            .or_insert_with(|| Value::Table(Table::new()))
        {
            Value::Table(inner) => set(inner, rest, value),
            _ => bail!("`{key}` is a value, not a section"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaid(file: &str, variables: &[(&str, &str)]) -> anyhow::Result<Table> {
        let mut table: Table = toml::from_str(file)?;
        apply(
            &mut table,
            variables
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
        )?;
        Ok(table)
    }

    #[test]
    fn a_variable_wins_over_the_file_and_makes_sections() {
        let table = overlaid(
            "[gateway]\nlisten = \"a\"",
            &[
                ("COUNTERSIGN__GATEWAY__LISTEN", "b"),
                ("COUNTERSIGN__AGENT__PORT", "8405"),
            ],
        )
        .unwrap();
        assert_eq!(table["gateway"]["listen"].as_str(), Some("b"));
        assert_eq!(table["agent"]["port"].as_integer(), Some(8405));
    }

    #[test]
    fn an_account_id_with_quotes_stays_text() {
        let table = overlaid("", &[("COUNTERSIGN__IDENTITY__URL", "http://x/[y]")]).unwrap();
        assert_eq!(table["identity"]["url"].as_str(), Some("http://x/[y]"));
    }

    #[test]
    fn a_value_is_not_a_section() {
        let error = overlaid("a = 1", &[("COUNTERSIGN__A__B", "2")]).unwrap_err();
        assert!(format!("{error:#}").contains("COUNTERSIGN__A__B"), "{error:#}");
    }
}
