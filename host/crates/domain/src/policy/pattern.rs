//! Texts of policies that values are compared with: wildcards, variables and the region of ARNs.
//!
//! `*` stands for any characters, `?` for one, `${key}` for what the request says of it, taken as it
//! is: a wildcard in a value is no wildcard. `${*}`, `${?}` and `${$}` are the characters themselves.
//!
//! Knows nothing of what is compared, or why.

use super::keys::{self, KeyKind};
use super::{Context, Request};

/// Which characters of a text mean more than themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) wildcards: bool,
    pub(super) variables: bool,
}

/// A parsed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// `?`
    One,
    /// `*`
    Run,
    /// The region of an ARN: the server's own, whatever was written.
    Region,
    /// `${key}` or `${key, 'default'}`, the key in lower case.
    Variable {
        key: String,
        default: Option<String>,
    },
}

/// What one step of a comparison wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Atom {
    Char(char),
    One,
    Run,
}

/// How letters are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Ignored,
}

impl Pattern {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// What is wrong with a variable in it, as the end of a sentence.
    pub(super) fn parse(text: &str, meaning: Meaning) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            let variable = if meaning.variables {
                rest.strip_prefix("${")
            } else {
                None
            };
            if let Some(inside) = variable {
                let end = inside
                    .find('}')
                    .ok_or("has a policy variable `${` without `}`")?;
                push(&mut parts, variable_part(&inside[..end])?);
                rest = &inside[end + 1..];
                continue;
            }
            push(
                &mut parts,
                match c {
                    '*' if meaning.wildcards => Part::Run,
                    '?' if meaning.wildcards => Part::One,
                    c => Part::Literal(c.to_string()),
                },
            );
            rest = after;
        }
        Ok(Self(with_region(parts)))
    }

    /// What any value fits.
    pub(super) fn anything() -> Self {
        Self(vec![Part::Run])
    }

    /// Whether `value` is what this stands for in a request; `None` when a variable has no value
    /// there.
    pub(super) fn matches(&self, value: &str, case: Case, request: &Request<'_>) -> Option<bool> {
        let atoms = self.atoms(&request.context, request.region)?;
        Some(is_match(&atoms, &own_region(value, request.region), case))
    }

    fn atoms(&self, context: &Context, region: &str) -> Option<Vec<Atom>> {
        let mut atoms = Vec::new();
        for part in &self.0 {
            let literal = match part {
                Part::Literal(text) => text,
                Part::One => {
                    atoms.push(Atom::One);
                    continue;
                }
                Part::Run => {
                    if atoms.last() != Some(&Atom::Run) {
                        atoms.push(Atom::Run);
                    }
                    continue;
                }
                Part::Region => region,
                Part::Variable { key, default } => context.variable(key).or(default.as_deref())?,
            };
            atoms.extend(literal.chars().map(Atom::Char));
        }
        Some(atoms)
    }
}

/// Adds a part, and joins literals.
fn push(parts: &mut Vec<Part>, part: Part) {
    if let (Some(Part::Literal(text)), Part::Literal(more)) = (parts.last_mut(), &part) {
        text.push_str(more);
    } else {
        parts.push(part);
    }
}

fn variable_part(inside: &str) -> Result<Part, String> {
    if matches!(inside, "*" | "?" | "$") {
        return Ok(Part::Literal(inside.to_owned()));
    }
    let (key, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((key, default)) => {
            let quoted = default.trim();
            let default = quoted
                .strip_prefix('\'')
                .and_then(|text| text.strip_suffix('\''))
                .ok_or_else(|| {
                    format!("has the policy variable `${{{inside}}}`, whose default is not in single quotes")
                })?;
            (key, Some(default.to_owned()))
        }
    };
    let key = key.trim().to_ascii_lowercase();
    if keys::kind(&key) == KeyKind::Known {
        Ok(Part::Variable { key, default })
    } else {
        Err(format!("has the unknown policy variable `${{{inside}}}`"))
    }
}

/// Puts [`Part::Region`] in the place of an ARN's region that is written out.
fn with_region(parts: Vec<Part>) -> Vec<Part> {
    let Some(Part::Literal(first)) = parts.first() else {
        return parts;
    };
    if !first.starts_with("arn:") {
        return parts;
    }
    // Colons inside of literals, counted over all parts: the region is between the third and fourth.
    let mut colons = 0;
    for (index, part) in parts.iter().enumerate() {
        let Part::Literal(text) = part else { continue };
        for (at, _) in text.match_indices(':') {
            colons += 1;
            if colons < 3 {
                continue;
            }
            let after = &text[at + 1..];
            // A region that does not end in this literal has a wildcard or a variable.
            let Some(length) = after.find(':').filter(|length| *length > 0) else {
                return parts;
            };
            let mut all = parts[..index].to_vec();
            all.push(Part::Literal(text[..=at].to_owned()));
            all.push(Part::Region);
            all.push(Part::Literal(after[length..].to_owned()));
            all.extend_from_slice(&parts[index + 1..]);
            return all;
        }
    }
    parts
}

/// A value with the region of an ARN, if it is one and has one, replaced by the server's own.
fn own_region(value: &str, region: &str) -> String {
    let mut segments = value.splitn(5, ':');
    let parts = (
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
    );
    match parts {
        (Some("arn"), Some(partition), Some(service), Some(written), Some(rest))
            if !written.is_empty() =>
        {
            format!("arn:{partition}:{service}:{region}:{rest}")
        }
        _ => value.to_owned(),
    }
}

/// Whether a whole text is what the atoms say. Goes back to the last `*` only, which is enough since
/// what came before it has matched as early as it could: at most atoms times characters steps.
fn is_match(atoms: &[Atom], text: &str, case: Case) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut atom, mut at) = (0, 0);
    let mut last_run: Option<(usize, usize)> = None;
    while at < text.len() {
        let fits = match atoms.get(atom) {
            Some(Atom::Run) => {
                last_run = Some((atom, at));
                atom += 1;
                continue;
            }
            Some(Atom::One) => true,
            Some(Atom::Char(c)) => {
                *c == text[at] || (case == Case::Ignored && same_letter(*c, text[at]))
            }
            None => false,
        };
        if fits {
            atom += 1;
            at += 1;
        } else if let Some((run, from)) = last_run {
            last_run = Some((run, from + 1));
            atom = run + 1;
            at = from + 1;
        } else {
            return false;
        }
    }
    atoms[atom..].iter().all(|atom| *atom == Atom::Run)
}

fn same_letter(a: char, b: char) -> bool {
    a.to_lowercase().eq(b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn atoms(text: &str) -> Vec<Atom> {
        let meaning = Meaning {
            wildcards: true,
            variables: false,
        };
        let pattern = Pattern::parse(text, meaning).unwrap();
        pattern.atoms(&Context::default(), "local").unwrap()
    }

    /// The definition, written down: slow and obvious.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            (['?', rest @ ..], [_, after @ ..]) => naive(rest, after),
            ([c, rest @ ..], [d, after @ ..]) => c == d && naive(rest, after),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn wildcards_match_what_their_definition_says(
            pattern in "[ab*?é]{0,9}",
            text in "[abé]{0,12}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                is_match(&atoms(&pattern), &text, Case::Sensitive),
                naive(&chars(&pattern), &chars(&text))
            );
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_its_length_times_the_texts() {
        // Recursion would need about 10^30 steps for this.
        let pattern = format!("{}b", "*a".repeat(1_000));
        assert!(!is_match(
            &atoms(&pattern),
            &"a".repeat(2_000),
            Case::Sensitive
        ));
    }

    #[test]
    fn the_region_of_an_arn_is_the_servers_own_unless_it_has_a_wildcard() {
        for (pattern, value, expected) in [
            (
                "arn:aws:lambda:eu-west-1:0:function:f",
                "arn:aws:lambda:us-east-1:0:function:f",
                true,
            ),
            (
                "arn:aws:lambda:local:0:function:*",
                "arn:aws:lambda:x:0:function:f",
                true,
            ),
            (
                "arn:aws:lambda:lo*:0:function:f",
                "arn:aws:lambda:us-east-1:0:function:f",
                true,
            ),
            (
                "arn:aws:lambda:us-*:0:function:f",
                "arn:aws:lambda:us-east-1:0:function:f",
                false,
            ),
            (
                "arn:aws:lambda::0:function:f",
                "arn:aws:lambda:us-east-1:0:function:f",
                false,
            ),
            ("arn:aws:iam::0:user/*", "arn:aws:iam::0:user/bob", true),
            (
                "arn:aws:lambda:a:1:function:f",
                "arn:aws:lambda:a:0:function:f",
                false,
            ),
        ] {
            let atoms = atoms(pattern);
            let value = own_region(value, "local");
            assert_eq!(
                is_match(&atoms, &value, Case::Sensitive),
                expected,
                "{pattern}"
            );
        }
    }
}
