//! Every spelling of one function is one value, and what is none says why.

use proptest::prelude::*;

use super::*;
use crate::names::VersionId;

fn parse(text: &str) -> FunctionRef {
    FunctionRef::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_spelling_becomes_the_same_reference() {
    for (qualifier, written) in [
        (None, ""),
        (Some(Qualifier::Version(VersionId::Latest)), ":$LATEST"),
        (Some(Qualifier::Version(VersionId::Number(12))), ":12"),
        (Some(Qualifier::parse("live").unwrap()), ":live"),
    ] {
        for (form, region) in [
            ("", None),
            ("function:", None),
            ("000000000000:function:", None),
            ("local:000000000000:function:", Some("local")),
            ("eu-central-1:000000000000:function:", Some("eu-central-1")),
            (
                "arn:aws:lambda:us-east-1:000000000000:function:",
                Some("us-east-1"),
            ),
        ] {
            let found = parse(&format!("{form}f-1_X{written}"));
            assert_eq!(found.name.as_str(), "f-1_X");
            assert_eq!(found.qualifier, qualifier);
            assert_eq!(found.region.as_deref(), region);
            assert_eq!(
                found.arn("here"),
                format!("arn:aws:lambda:here:000000000000:function:f-1_X{written}")
            );
        }
    }
}

#[test]
fn words_of_the_forms_are_names_too() {
    for name in ["function", "arn", "000000000000", "lambda", "aws"] {
        assert_eq!(parse(name).name.as_str(), name);
        let arn = format!("arn:aws:lambda:r:000000000000:function:{name}:{name}-1");
        assert_eq!(parse(&arn).name.as_str(), name);
        assert_eq!(
            parse(&arn).qualifier,
            Some(Qualifier::parse(&format!("{name}-1")).unwrap())
        );
    }
    // `function:` stands before a name; it is never a function and its alias.
    assert_eq!(parse("function:x").name.as_str(), "x");
    assert_eq!(parse("000000000000:live").name.as_str(), "000000000000");
}

#[test]
fn upper_and_lower_case_are_different_functions() {
    assert_ne!(parse("F"), parse("f"));
    assert_ne!(parse("f:Live"), parse("f:live"));
}

#[test]
fn another_account_is_told_apart_from_nonsense() {
    for text in [
        "arn:aws:lambda:us-east-1:123456789012:function:f",
        "123456789012:function:f:live",
        "us-east-1:123456789012:function:f",
    ] {
        assert_eq!(
            FunctionRef::parse(text).unwrap_err().to_string(),
            "account `123456789012` is another one; this server has the account 000000000000"
        );
    }
}

#[test]
fn what_names_no_function_is_refused() {
    let long = "x".repeat(65);
    for text in [
        "",
        ":",
        "f:",
        ":f",
        "f::",
        "f:live:",
        "f:live:live",
        "f:01",
        "f:*",
        "*",
        "f*",
        "../f",
        "f/../g",
        "f\n",
        "f\nlive",
        "f:$LATEST ",
        "f:%24LATEST",
        "f%3Alive",
        "f:$latest",
        "ｆ",
        "f:lıve",
        &long,
        "function:",
        "function:f:live:x",
        "0:function:f",
        "ARN:aws:lambda:us-east-1:000000000000:function:f",
        "arn:AWS:lambda:us-east-1:000000000000:function:f",
        "arn:aws-cn:lambda:us-east-1:000000000000:function:f",
        "arn:aws:iam:us-east-1:000000000000:function:f",
        "arn:aws:lambda::000000000000:function:f",
        "arn:aws:lambda:*:000000000000:function:f",
        "arn:aws:lambda:US-EAST-1:000000000000:function:f",
        "arn:aws:lambda:us-east-1:*:function:f",
        "arn:aws:lambda:us-east-1::function:f",
        "arn:aws:lambda:us-east-1:000000000000:function:",
        "arn:aws:lambda:us-east-1:000000000000:function",
        "arn:aws:lambda:us-east-1:000000000000:layer:f",
        "arn:aws:lambda:us-east-1:000000000000:function:f:",
        "arn:aws:lambda:us-east-1:000000000000:function:f:live:live",
        "arn:aws:lambda:us-east-1:000000000000:function:f:1:2:3:4:5",
        "arn:aws:lambda:us-east-1\n:000000000000:function:f",
        " f",
        "f ",
    ] {
        let error = FunctionRef::parse(text).unwrap_err();
        assert!(
            !matches!(error, FunctionRefError::OtherAccount { .. }),
            "{text:?}: {error}"
        );
        let message = error.to_string();
        assert!(!message.contains('\n') && message.len() < 500, "{message}");
    }
}

#[test]
fn a_long_text_is_cut_in_the_error() {
    let message = FunctionRef::parse(&"a:".repeat(100_000))
        .unwrap_err()
        .to_string();
    assert!(message.len() < 300, "{}", message.len());
}

proptest! {
    #[test]
    fn an_arn_reads_back(
        name in "[A-Za-z0-9_-]{1,64}",
        qualifier in proptest::option::of("(\\$LATEST|[1-9][0-9]{0,18}|[0-9]{0,9}[A-Za-z_-][A-Za-z0-9_-]{0,100})"),
        region in "[a-z0-9-]{1,32}",
    ) {
        let reference = FunctionRef {
            name: FunctionName::parse(&name).unwrap(),
            qualifier: qualifier.map(|text| Qualifier::parse(&text).unwrap()),
            region: Some(region.clone()),
        };
        let arn = reference.arn(&region);
        prop_assert_eq!(FunctionRef::parse(&arn).unwrap(), reference);
    }

    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_has_one_arn(text in ".{0,80}") {
        if let Ok(found) = FunctionRef::parse(&text) {
            let again = FunctionRef::parse(&found.arn("r")).unwrap();
            prop_assert_eq!((again.name, again.qualifier), (found.name, found.qualifier));
        }
    }

    #[test]
    fn texts_made_of_the_parts_are_read_or_refused(
        parts in proptest::collection::vec(
            prop_oneof!["arn", "aws", "lambda", "function", "000000000000", "123456789012", "r", "f", "1", "\\$LATEST", ""],
            0..9,
        ),
    ) {
        if let Ok(found) = FunctionRef::parse(&parts.join(":")) {
            let again = FunctionRef::parse(&found.arn("r")).unwrap();
            prop_assert_eq!((again.name, again.qualifier), (found.name, found.qualifier));
        }
    }
}
