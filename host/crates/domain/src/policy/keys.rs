//! The condition keys that policies may use, and where the value of each comes from.
//!
//! A key of a service that is here must be one of these, so that a slip of the pen in a Deny is an
//! error and not a Deny that never comes. For the same reason each says who sets it: that a request
//! does not have a key may be concluded only where somebody would have set it, or where what the key
//! is about does not exist here (nobody signs in with a second factor).

use self::KeySource::{Absent, Operation, Request, Unseen};

/// Where the value of a condition key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource {
    /// From who asks, when, from where, and about what. Set for every request that has it.
    Request,
    /// From the parameters of the operations that take it, which set it.
    Operation,
    /// No request has it: what it is about does not exist here.
    Absent,
    /// Nobody looks, so what it is in a request is not known.
    Unseen,
}

/// Lower case. A `/` at the end stands for a key with a name after it, such as a tag's.
const KNOWN: &[(&str, KeySource)] = &[
    ("aws:calledvia", Absent),
    ("aws:calledviafirst", Absent),
    ("aws:calledvialast", Absent),
    ("aws:currenttime", Request),
    ("aws:epochtime", Request),
    ("aws:federatedprovider", Absent),
    ("aws:multifactorauthage", Absent),
    ("aws:multifactorauthpresent", Absent),
    ("aws:principalaccount", Request),
    ("aws:principalarn", Request),
    ("aws:principalisawsservice", Request),
    ("aws:principalorgid", Absent),
    ("aws:principalorgpaths", Absent),
    ("aws:principalservicename", Absent),
    ("aws:principaltag/", Request),
    ("aws:principaltype", Request),
    ("aws:referer", Unseen),
    ("aws:requestedregion", Request),
    ("aws:requesttag/", Operation),
    ("aws:resourceaccount", Request),
    ("aws:resourceorgid", Absent),
    ("aws:resourceorgpaths", Absent),
    ("aws:resourcetag/", Request),
    ("aws:securetransport", Request),
    ("aws:sourceaccount", Absent),
    ("aws:sourcearn", Absent),
    ("aws:sourceidentity", Absent),
    ("aws:sourceip", Request),
    ("aws:sourceorgid", Absent),
    ("aws:sourceorgpaths", Absent),
    ("aws:sourcevpc", Absent),
    ("aws:sourcevpce", Absent),
    ("aws:tagkeys", Operation),
    ("aws:tokenissuetime", Absent),
    ("aws:useragent", Request),
    ("aws:userid", Request),
    ("aws:username", Request),
    ("aws:viaawsservice", Request),
    ("aws:vpcsourceip", Absent),
    ("iam:associatedresourcearn", Absent),
    ("iam:awsservicename", Absent),
    ("iam:passedtoservice", Absent),
    ("iam:permissionsboundary", Absent),
    ("iam:policyarn", Operation),
    ("iam:resourcetag/", Request),
    ("lambda:codesigningconfigarn", Operation),
    ("lambda:eventsourcetoken", Absent),
    ("lambda:functionarn", Request),
    ("lambda:functionurlauthtype", Operation),
    ("lambda:invokedviafunctionurl", Operation),
    ("lambda:layer", Operation),
    ("lambda:principal", Operation),
    ("lambda:securitygroupids", Operation),
    ("lambda:sourcefunctionarn", Absent),
    ("lambda:subnetids", Operation),
    ("lambda:vpcids", Unseen),
    ("sts:durationseconds", Absent),
    ("sts:externalid", Absent),
    ("sts:rolesessionname", Absent),
    ("sts:sourceidentity", Absent),
];

/// Services whose keys are all in [`KNOWN`].
const SERVICES_HERE: &[&str] = &["aws", "iam", "lambda", "logs", "mayfly", "sts"];

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A request has it or does not.
    Known,
    /// What it is in a request can't be known: it belongs to a service that is not here, or nobody looks.
    Unseen,
    /// No key at all.
    Unknown,
}

/// What kind of key this is; `key` is lower case.
pub(super) fn kind(key: &str) -> KeyKind {
    let Some((service, name)) = key.split_once(':') else {
        return KeyKind::Unknown;
    };
    let is_word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !is_word(service) || name.is_empty() {
        return KeyKind::Unknown;
    }
    if !SERVICES_HERE.contains(&service) {
        return KeyKind::Unseen;
    }
    let found = KNOWN
        .iter()
        .find(|(known, _)| match known.strip_suffix('/') {
            None => key == *known,
            Some(_) => key.len() > known.len() && key.starts_with(known),
        });
    match found {
        None => KeyKind::Unknown,
        Some((_, Unseen)) => KeyKind::Unseen,
        Some((_, Request | Operation | Absent)) => KeyKind::Known,
    }
}

/// The keys of the services that are here, in lower case, and where they come from. One that ends with
/// `/` has a name after it.
pub fn condition_keys() -> impl Iterator<Item = (&'static str, KeySource)> {
    KNOWN.iter().copied()
}
