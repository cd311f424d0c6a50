//! What holds for all policies.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{ARN, identity, request, resource};
use super::*;

fn statements() -> impl Strategy<Value = Vec<Value>> {
    let one = (
        prop_oneof![Just("Allow"), Just("Deny")],
        prop_oneof![Just("Action"), Just("NotAction")],
        prop_oneof![
            Just("*"),
            Just("lambda:*"),
            Just("lambda:Get*"),
            Just("iam:?etUser")
        ],
        prop_oneof![Just("Resource"), Just("NotResource")],
        prop_oneof![
            Just("*"),
            Just(ARN),
            Just("arn:aws:lambda:*:*:function:*"),
            Just("arn:aws:lambda:*:*:function:${aws:username}"),
            Just("arn:aws:lambda:*:*:function:${aws:SourceVpc}")
        ],
        prop_oneof![
            Just(json!({})),
            Just(json!({"StringEquals": {"aws:username": "bob"}})),
            Just(json!({"StringNotEquals": {"s3:prefix": "bob"}})),
            Just(json!({"IpAddressIfExists": {"aws:SourceIp": "192.0.2.1"}})),
        ],
    );
    let one = one.prop_map(|(effect, action, actions, resource, resources, condition)| {
        json!({"Effect": effect, action: actions, resource: resources, "Condition": condition})
    });
    prop::collection::vec(one, 1..6)
}

/// JSON that looks somewhat like a policy, and JSON that does not.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("*".to_owned()),
        Just("Allow".to_owned()),
        Just("Deny".to_owned()),
        Just("lambda:*".to_owned()),
        Just("${aws:username}".to_owned()),
        Just("2012-10-17".to_owned()),
        any::<String>(),
    ];
    let name = prop_oneof![
        Just("Statement".to_owned()),
        Just("Version".to_owned()),
        Just("Effect".to_owned()),
        Just("Action".to_owned()),
        Just("Resource".to_owned()),
        Just("Principal".to_owned()),
        Just("Condition".to_owned()),
        Just("AWS".to_owned()),
        Just("StringLike".to_owned()),
        Just("DateLessThan".to_owned()),
        Just("aws:username".to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_deny_of_everything_wins_over_any_policies(
        mine in statements(),
        theirs in statements(),
        action in "(lambda|iam):(Get|Put)(User|Function)",
    ) {
        let deny = identity(&json!({"Effect": "Deny", "Action": "*", "Resource": "*"}));
        let theirs: Vec<Value> = theirs
            .into_iter()
            .map(|mut statement| { statement["Principal"] = json!("*"); statement })
            .collect();
        let (mine, theirs) = (identity(&json!(mine)), resource(&json!(theirs)));
        let request = request(&action, ARN);
        let decision = evaluate(&[&mine, &deny], &[&theirs], &request);
        prop_assert!(matches!(decision, Decision::Denied(_)));
    }

    #[test]
    fn one_more_allow_takes_nothing_away_and_one_more_deny_gives_nothing(
        statements in statements(),
        more in statements(),
        action in "(lambda|iam):(Get|Put)(User|Function)",
    ) {
        let request = request(&action, ARN);
        let before = evaluate(&[&identity(&json!(statements))], &[], &request);
        for mut statement in more {
            for effect in ["Allow", "Deny"] {
                statement["Effect"] = json!(effect);
                let mut all = statements.clone();
                all.push(statement.clone());
                let after = evaluate(&[&identity(&json!(all))], &[], &request);
                if effect == "Allow" {
                    prop_assert!(after.is_allowed() || !before.is_allowed());
                } else {
                    prop_assert!(!after.is_allowed() || before.is_allowed());
                }
            }
        }
    }

    #[test]
    fn any_json_is_refused_or_decides_and_never_panics(json in any_json()) {
        let request = request("lambda:GetFunction", ARN);
        let text = json.to_string();
        let wrapped = json!({"Version": "2012-10-17", "Statement": json}).to_string();
        for text in [text, wrapped] {
            if let Ok(policy) = PolicyDocument::parse_identity(&text) {
                let _decision = evaluate(&[&policy], &[], &request);
            }
            if let Ok(policy) = PolicyDocument::parse_resource(&text) {
                let _decision = evaluate(&[], &[&policy], &request);
            }
        }
    }
}
